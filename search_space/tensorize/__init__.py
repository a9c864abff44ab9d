"""Auto-tensorisation: blocks are matched to intrinsics by their iterators' access pattern, not by name.

After TensorIR (arXiv 2207.04296, section 4.2): the characteristic vector of an iterator says in which
operands it occurs; block iterators stand for the intrinsic's iterators with equal vectors.
"""

from search_space.tensorize.intrinsic import Intrinsic
from search_space.tensorize.mapping import Mapping, matches
from search_space.tensorize.registry import (
    add_intrinsic,
    available,
    ensure_on_chip,
    intrinsic_named,
    register_intrinsic,
)

__all__ = [
    "Intrinsic",
    "Mapping",
    "add_intrinsic",
    "available",
    "ensure_on_chip",
    "intrinsic_named",
    "matches",
    "register_intrinsic",
]
