"""One rewrite a file; the order of trying them is in :mod:`tuner.graph.simplify`."""
