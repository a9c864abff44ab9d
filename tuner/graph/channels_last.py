"""Moves the channels of convolutional networks last."""

from __future__ import annotations

from search_space.tvm_api import IRModule, tvm
from tuner.graph.simplify import simplify

relax = tvm.relax
_LAYOUTS = {
    "relax.nn.conv1d": ["NWC", "WIO"],
    "relax.nn.conv2d": ["NHWC", "HWIO"],
    "relax.nn.conv3d": ["NDHWC", "DHWIO"],
    "relax.nn.conv2d_transpose": ["NHWC", "HWIO"],
}


def channels_last(module: IRModule) -> IRModule:
    """Rewrite convolutions to NHWC activations and HWIO weights.

    Args:
        module: A Relax module with static shapes.

    Returns:
        An equal module: weights are re-laid out now, the permutations of activations have moved to
        the borders of the convolutional parts and met their inverses.
    """
    converted = relax.transform.ConvertLayout(_LAYOUTS)(module)
    return simplify(relax.transform.Normalize()(converted))
