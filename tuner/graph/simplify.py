"""Folds constants, batch normalisation and data movement out of a model."""

from __future__ import annotations

from search_space.tvm_api import IRModule
from tuner.graph.rewriter import Rewriter
from tuner.graph.rules.arithmetic import (
    fold_scale,
    join_sums,
    normalise_arithmetic,
    shrink_constants,
    split_clip,
)
from tuner.graph.rules.constants import fold_constants, fold_shapes
from tuner.graph.rules.indexing import clip_indices
from tuner.graph.rules.movement import join_permutations, join_reshapes
from tuner.graph.rules.normalisation import decompose_batch_norm, drop_dropout
from tuner.graph.rules.products import absorb_input_permutations, absorb_output_permutation
from tuner.graph.rules.reshapes import drop_broadcasts, sink_batches, sink_reshapes
from tuner.graph.rules.sinking import sink_below_windows, sink_permutations
from tuner.graph.rules.transposed import convolve_backwards

_RULES = (
    fold_shapes,
    fold_constants,
    drop_dropout,
    convolve_backwards,
    decompose_batch_norm,
    split_clip,
    normalise_arithmetic,
    fold_scale,
    join_sums,
    join_permutations,
    join_reshapes,
    sink_permutations,
    sink_below_windows,
    drop_broadcasts,
    sink_batches,
    sink_reshapes,
)


def simplify(module: IRModule) -> IRModule:
    """Return an equal model with fewer operators.

    Args:
        module: A Relax module; static shapes.

    Returns:
        The module with constants folded, batch normalisation moved into weights, and chains of
        reshapes and permutations joined. Results differ by rounding only.
    """
    return Rewriter(_RULES).run(module)


def finish(module: IRModule) -> IRModule:
    """Do the rewrites that must wait until layouts are final.

    Args:
        module: A simplified module in its final layout.

    Returns:
        An equal module: constants without leading ones, safe look-ups, matrix products that read and
        write permuted tensors in place.
    """
    module = Rewriter((shrink_constants, clip_indices, absorb_output_permutation)).run(module)
    return Rewriter((absorb_input_permutations,)).run(module)
