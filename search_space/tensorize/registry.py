"""The intrinsics that sketches may use: those that ship, and those that a user adds."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from search_space.tensorize.intrinsic import Intrinsic
from search_space.tensorize.mma import ensure_mma, is_mma
from search_space.tensorize.wmma import ensure_fragment, is_fragment
from search_space.tensorize.x86 import OPERAND_TYPES, x86_intrinsics
from search_space.tvm_api import tvm

_added: dict[str, Intrinsic] = {}


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
    return add_intrinsic(Intrinsic(name, description, implementation, tuple(features), llvm))


def add_intrinsic(intrinsic: Intrinsic) -> Intrinsic:
    """Offer an intrinsic (see :func:`register_intrinsic`); adding an equal one again changes nothing."""
    name = intrinsic.name
    known = _added.get(name) or _shipped().get(name)
    if known is None:
        _added[name] = _known_to_tvm(intrinsic)
    elif not known.is_same_as(intrinsic):
        raise ValueError(f"intrinsic {name!r} is registered already: choose another name")
    return known or intrinsic


def available(features: Iterable[str], dtypes: Iterable[str]) -> tuple[Intrinsic, ...]:
    """Return the intrinsics that a target can execute on some element types.

    Args:
        features: Instruction sets of the target, by LLVM's names.
        dtypes: Types that the operands may have.

    Returns:
        Those that a user added, then those that ship.
    """
    present, types = set(features), set(dtypes)
    # Reading the shipped ones takes a third of a second, which float32 programs need not spend.
    shipped = _shipped().values() if types & OPERAND_TYPES else ()
    return tuple(
        i
        for i in (*_added.values(), *shipped)
        if present.issuperset(i.features) and types.issuperset(o.dtype for o in i.pattern.operands)
    )


def intrinsic_named(name: str) -> Intrinsic:
    """Return a registered intrinsic.

    Raises:
        KeyError: If there is none of that name; the message lists the known ones.
    """
    known = _added | _shipped()
    if name not in known:
        raise KeyError(f"no intrinsic is named {name!r}; there are {', '.join(sorted(known))}")
    return known[name]


def with_llvm() -> tuple[Intrinsic, ...]:
    """Return the registered intrinsics that bring LLVM code along."""
    return tuple(i for i in (*_added.values(), *_shipped().values()) if i.llvm)


def ensure_registered(trace: Any) -> None:
    """Make the shipped intrinsics known to TVM if a trace names intrinsics.

    Args:
        trace: The decoded JSON of a trace that is about to be replayed.
    """
    for instruction in trace[0]:
        if instruction[0] == "Tensorize":
            name = str(instruction[2][0])
            if is_fragment(name) or is_mma(name):
                ensure_on_chip(name)
            else:
                _shipped()


def ensure_on_chip(name: str) -> Intrinsic | None:
    """Register an intrinsic of tensor cores with TVM by name; return it if blocks are matched with it.

    Raises:
        KeyError: If there is none of that name.
    """
    return ensure_mma(name) if is_mma(name) else ensure_fragment(name)


@cache
def _shipped() -> dict[str, Intrinsic]:
    return {entry[0]: _known_to_tvm(Intrinsic(*entry)) for entry in x86_intrinsics()}


def _known_to_tvm(intrinsic: Intrinsic) -> Intrinsic:
    tvm.s_tir.TensorIntrin.register(
        intrinsic.name, intrinsic.description, intrinsic.implementation, override=True
    )
    return intrinsic
