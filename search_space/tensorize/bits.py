"""Keep bfloat16 panels in two bytes.

TVM's legalisation gives every buffer of bfloat16 that a program allocates the element type float32, which an
instruction cannot read and which takes twice the space. What an intrinsic reads is therefore held as
16-bit integers, and its elements are reinterpreted where they are used.
"""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import PrimFunc, tirx, tvm, tvm_ffi, walk_types

_WIDE = "bfloat16"
_BITS = "uint16"


def hold_as_bits(func: Any) -> Any:
    """Give every bfloat16 buffer that a function allocates the element type uint16.

    Args:
        func: A scheduled TensorIR function.

    Returns:
        The function; itself where it allocates no such buffer.
    """
    held: list[Any] = []

    def visit(block: Any) -> None:
        held.extend(b for b in block.alloc_buffers if str(b.dtype) == _WIDE)
        for match in block.match_buffers:
            is_given = any(match.source.source.same_as(p) for p in func.params)
            if str(match.buffer.dtype) == _WIDE and not is_given:
                held.append(match.buffer)

    walk_types(func.body, [(tvm.s_tir.SBlock, visit)])
    if not held:
        return func
    renamed = [(old, _as_bits(old)) for old in held]
    body = tvm_ffi.structural_map(func.body, _Rewriter(renamed).callbacks())
    return PrimFunc(func.params, body, func.ret_type, func.attrs)


def _as_bits(buffer: Any) -> Any:
    return tirx.decl_buffer(
        buffer.shape,
        _BITS,
        str(buffer.name),
        strides=buffer.strides,
        elem_offset=buffer.elem_offset,
        scope=buffer.scope(),
        data_alignment=buffer.data_alignment,
        offset_factor=buffer.offset_factor,
    )


class _Rewriter:
    """Node by node, children first."""

    def __init__(self, renamed: list[tuple[Any, Any]]) -> None:
        self._renamed = renamed

    def callbacks(self) -> list[tuple[Any, Any]]:
        return [
            (tvm.ir.TensorLoad, self._load),
            (tirx.BufferStore, self._store),
            (tvm.ir.expr.TensorRegion, self._region),
            (tvm.s_tir.MatchBufferRegion, self._match),
            (tvm.s_tir.SBlock, self._block),
            (tvm.ir.Call, _collapse),
        ]

    def _new(self, buffer: Any) -> Any | None:
        return next((new for old, new in self._renamed if buffer.same_as(old)), None)

    def _load(self, node: Any) -> Any:
        new = self._new(node.source)
        return node if new is None else _reinterpret(str(node.ty), tirx.BufferLoad(new, node.indices))

    def _store(self, node: Any) -> Any:
        new = self._new(node.buffer)
        return node if new is None else tirx.BufferStore(new, _bits_of(node.value), node.indices)

    def _region(self, node: Any) -> Any:
        new = self._new(node.source)
        return node if new is None else tirx.BufferRegion(new, node.region)

    def _match(self, node: Any) -> Any:
        new = self._new(node.buffer)
        return node if new is None else tvm.s_tir.MatchBufferRegion(new, self._region(node.source))

    def _block(self, node: Any) -> Any:
        if all(self._new(b) is None for b in node.alloc_buffers):
            return node
        held = [b if (new := self._new(b)) is None else new for b in node.alloc_buffers]
        return tvm.s_tir.SBlock(
            node.iter_vars,
            node.reads,
            node.writes,
            node.name_hint,
            node.body,
            node.init,
            held,
            node.match_buffers,
            node.annotations,
        )


def _reinterpret(dtype: str, value: Any) -> Any:
    return tirx.reinterpret(dtype, value)


def _is_reinterpret(node: Any) -> bool:
    return isinstance(node, tvm.ir.Call) and str(getattr(node.op, "name", "")).endswith("reinterpret")


def _collapse(node: Any) -> Any:
    """Reinterpret at once what is reinterpreted twice."""
    if _is_reinterpret(node) and _is_reinterpret(node.args[0]):
        inner = node.args[0].args[0]
        return inner if str(inner.ty) == str(node.ty) else _reinterpret(str(node.ty), inner)
    return node


def _bits_of(value: Any) -> Any:
    """Return the bits of a value that is moved, zero or rounded to bfloat16."""
    if _is_reinterpret(value):
        return _collapse(_reinterpret(_BITS, value))
    if isinstance(value, tvm.ir.TensorLoad):
        return _reinterpret(_BITS, value)
    if isinstance(value, (tirx.FloatImm, tirx.IntImm)) and float(value.value) == 0.0:
        return tirx.const(0, _BITS)
    if isinstance(value, tvm.ir.Call) and str(getattr(value.op, "name", "")).endswith("if_then_else"):
        condition, chosen, other = value.args
        return tirx.if_then_else(condition, _bits_of(chosen), _bits_of(other))
    if isinstance(value, tirx.Select):
        return tirx.Select(value.condition, _bits_of(value.true_value), _bits_of(value.false_value))
    wide = _reinterpret("uint32", tirx.Cast("float32", value))
    one = tirx.const(1, "uint32")
    # To nearest, ties to even (a NaN with a small payload becomes infinite, as in TVM's own rounding).
    rounded = wide + tirx.const(0x7FFF, "uint32") + ((wide >> tirx.const(16, "uint32")) & one)
    return tirx.Cast(_BITS, rounded >> tirx.const(16, "uint32"))
