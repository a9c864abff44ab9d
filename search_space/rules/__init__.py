"""The sketch rules: one a file, each a derivation step of the generator."""
