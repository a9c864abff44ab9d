"""Transcendental functions as arithmetic that a compiler can vectorise."""

from search_space.numerics.transcendentals import REPLACED, vectorise_transcendentals

__all__ = ["REPLACED", "vectorise_transcendentals"]
