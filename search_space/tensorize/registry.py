"""The intrinsics that sketches may use: those that ship, and those that a user adds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from search_space.tensorize.intrinsic import Intrinsic
from search_space.tensorize.x86 import x86_intrinsics
from search_space.tvm_api import tvm

_known: dict[str, Intrinsic] = {}


def register_intrinsic(
    name: str,
    description: Any,
    implementation: Any,
    features: Iterable[str] = (),
    llvm: str = "",
) -> Intrinsic:
    """Offer an instruction or a hand-written kernel to every sketch whose block it can compute.

    Args:
        name: A new name; records of tuned kernels refer to it.
        description: A TensorIR function (``@T.prim_func(s_tir=True)``) whose one block computes what the
            intrinsic computes, such as ``C[i] = C[i] + cast(A[k]) * cast(B[i, k])``.
        implementation: A TensorIR function with the same parameters that computes the same by calls.
        features: Instruction sets, by LLVM's names (``avx512vnni``), without which it is not offered.
        llvm: LLVM assembly with the functions that ``implementation`` calls by ``T.call_extern``.

    Returns:
        The intrinsic.

    Raises:
        ValueError: If the name is taken by another intrinsic or the description is no such block.
    """
    intrinsic = Intrinsic(name, description, implementation, tuple(features), llvm)
    if name in _known:
        raise ValueError(f"intrinsic {name!r} is registered already: choose another name")
    tvm.s_tir.TensorIntrin.register(name, description, implementation)
    _known[name] = intrinsic
    return intrinsic


def available(features: Iterable[str]) -> tuple[Intrinsic, ...]:
    """Return the intrinsics that need no more than the given instruction sets, in order of registration."""
    present = set(features)
    return tuple(i for i in _known.values() if present.issuperset(i.features))


def intrinsic_named(name: str) -> Intrinsic:
    """Return a registered intrinsic.

    Raises:
        KeyError: If there is none of that name; the message lists the known ones.
    """
    if name not in _known:
        raise KeyError(f"no intrinsic is named {name!r}; there are {', '.join(sorted(_known))}")
    return _known[name]


for _entry in x86_intrinsics():
    register_intrinsic(*_entry)
