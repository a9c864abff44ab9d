"""Closed-form analysis of loop nests: footprints, cache traffic, register tiles; N candidates at once."""
