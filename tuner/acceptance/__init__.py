"""Accepts what a run reached only if the whole compiled model is not slower with it."""
