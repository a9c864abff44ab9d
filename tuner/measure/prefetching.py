"""Puts prefetch instructions below marked loops (see ``search_space/rules/prefetching.py``)."""

from __future__ import annotations

from typing import Any

from search_space.rules.prefetching import PREFETCH, PREFETCH_RESULT
from search_space.tvm_api import tirx, tvm, tvm_ffi, walk_types
from tuner.measure.streaming import arguments_of, with_llvm

_READ, _WRITE = 0, 1
_SOURCE = """
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
define i32 @tirtune_prefetch_{write}(ptr %at) alwaysinline {{
  call void @llvm.prefetch.p0(ptr %at, i32 {write}, i32 3, i32 1)
  ret i32 0
}}
"""


def prefetch_rows(func: Any) -> Any:
    """Return a function whose marked loops prefetch; all its loops are vectorised.

    An address behind the end of a buffer does no harm: such a prefetch does nothing.
    """
    arguments = arguments_of(func)
    sources: dict[str, str] = {}

    def call(write: int, buffer: Any, index: Any) -> Any:
        name = f"tirtune_prefetch_{write}"
        sources[name] = _SOURCE.format(write=write)
        address = tvm.tirx.address_of(tirx.BufferLoad(buffer, [index]))
        return tirx.Evaluate(tvm.tirx.call_extern("int32", name, address))

    def ahead(load: Any, distance: int) -> list[Any]:
        return [call(_READ, load.source, load.indices[0].base + distance)]

    def beside(load: Any, results: list[Any]) -> list[Any]:
        return [call(_WRITE, r, load.indices[0].base) for r in results if _is_alike(r, load.source)]

    def marked(node: Any) -> Any:
        key = str(node.attr_key)
        if key not in (PREFETCH, PREFETCH_RESULT):
            return node
        distance = int(node.value)
        results = _stored(func, arguments) if key == PREFETCH_RESULT else []

        def store(inner: Any) -> Any:
            loads = _vector_loads(inner.value, arguments)
            found = [ahead(load, distance) if key == PREFETCH else beside(load, results) for load in loads]
            calls = [statement for statements in found for statement in statements]
            return tirx.SeqStmt([*calls, inner]) if calls else inner

        return tvm_ffi.structural_map(node.body, (tirx.BufferStore, store))

    body = tvm_ffi.structural_map(func.body, (tirx.AttrStmt, marked))
    return func if body.same_as(func.body) else func.with_body(with_llvm(body, sources))


def _stored(func: Any, arguments: list[Any]) -> list[Any]:
    """Return the arguments that a function writes, each once."""
    found: list[Any] = []

    def note(node: Any) -> None:
        known = any(node.buffer.same_as(other) for other in found)
        if not known and any(node.buffer.same_as(a) for a in arguments):
            found.append(node.buffer)

    walk_types(func.body, [(tirx.BufferStore, note)])
    return found


def _vector_loads(value: Any, arguments: list[Any]) -> list[Any]:
    """Return the loads of neighbouring elements of arguments."""
    found: list[Any] = []

    def note(node: Any) -> None:
        is_ramp = len(node.indices) == 1 and isinstance(node.indices[0], tirx.Ramp)
        if is_ramp and any(node.source.same_as(a) for a in arguments):
            found.append(node)

    walk_types(value, [(tvm.ir.TensorLoad, note)])
    return found


def _is_alike(one: Any, other: Any) -> bool:
    extents = [[int(e) for e in buffer.shape] for buffer in (one, other)]
    return extents[0] == extents[1] and str(one.dtype) == str(other.dtype)
