"""What ``tirtune bench`` compares: our kernels and models with other frameworks, in turns."""
