"""Other algorithms for the same function, found by access pattern."""

from search_space.rewrites.alternatives import GPU_SPLITS, alternatives
from search_space.rewrites.base import Rewrite
from search_space.rewrites.pad_axis import pad_axis
from search_space.rewrites.program import NotLiftable

__all__ = ["GPU_SPLITS", "NotLiftable", "Rewrite", "alternatives", "pad_axis"]
