"""Turns vector stores below marked loops into non-temporal ones (see ``search_space/rules/streaming.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_space.rules.streaming import STREAM
from search_space.tvm_api import tirx, tvm, tvm_ffi

_LLVM_TYPES = {"float32": "float", "float64": "double", "int32": "i32"}
_MIN_BYTES = 16
"""Shorter non-temporal stores are split by LLVM."""

# A locked instruction or a fence orders these stores before a thread reports that it is done.
_FENCE = """
define i32 @tirtune_stream_end() alwaysinline {
  fence seq_cst
  ret i32 0
}
"""
_STORE = """
define i32 @tirtune_stream_{dtype}x{lanes}(ptr %to, <{lanes} x {type}> %value) alwaysinline {{
  store <{lanes} x {type}> %value, ptr %to, align {bytes}, !nontemporal !{{i32 1}}
  ret i32 0
}}
"""


def stream_stores(func: Any) -> Any:
    """Return a function whose marked loops store past the caches; all its loops are vectorised.

    Only whole, aligned vectors that go into the function's own arguments are changed: what is local is
    read again soon. TVM aligns arguments to 64 bytes and relies on it in every vector access.
    """
    arguments = arguments_of(func)
    sources: dict[str, str] = {}

    def store(node: Any) -> Any:
        if not any(node.buffer.same_as(a) for a in arguments):
            return node
        return _non_temporal(node, sources)

    def marked(node: Any) -> Any:
        if str(node.attr_key) != STREAM:
            return node
        before = len(sources)
        body = tvm_ffi.structural_map(node.body, (tirx.BufferStore, store))
        if not body.same_as(node.body) or len(sources) > before:
            sources["end"] = _FENCE
            body = tirx.SeqStmt([body, _call("tirtune_stream_end")])
        return body

    body = tvm_ffi.structural_map(func.body, (tirx.AttrStmt, marked))
    return func if body.same_as(func.body) else func.with_body(with_llvm(body, sources))


def with_llvm(body: Any, sources: Mapping[str, str]) -> Any:
    """Give a body the functions in LLVM's language that it calls."""
    for source in sources.values():
        body = tirx.AttrStmt(tirx.IntImm("int32", 0), "pragma_import_llvm", tvm.ir.StringImm(source), body)
    return body


def arguments_of(func: Any) -> list[Any]:
    """Return the function's buffers, and the flat ones that are declared on their memory."""
    found = list(func.params)

    def declared(node: Any) -> None:
        memory = node.data.args[0] if isinstance(node.data, tvm.ir.Call) and node.data.args else None
        if memory is not None and any(memory.same_as(a) for a in func.params):
            found.append(node.buffer)

    tvm_ffi.structural_walk(func.body, [(tirx.DeclBuffer, declared)])
    return found


def _non_temporal(node: Any, sources: dict[str, str]) -> Any:
    index = node.indices[-1] if len(node.indices) == 1 else None
    dtype = str(node.buffer.dtype)
    if not isinstance(index, tirx.Ramp) or dtype not in _LLVM_TYPES:
        return node
    lanes = int(index.lanes)
    size = lanes * int(tvm.DataType(dtype).bits) // 8
    whole = isinstance(index.stride, tirx.IntImm) and int(index.stride) == 1 and size >= _MIN_BYTES
    position = tvm.sym.Analyzer().modular_set(index.base)
    if not whole or size & (size - 1) or position.coeff % lanes or position.base % lanes:
        return node
    name = f"{dtype}x{lanes}"
    sources[name] = _STORE.format(dtype=dtype, lanes=lanes, type=_LLVM_TYPES[dtype], bytes=size)
    address = tvm.tirx.address_of(tirx.BufferLoad(node.buffer, [index.base]))
    return _call(f"tirtune_stream_{name}", address, node.value)


def _call(name: str, *arguments: Any) -> Any:
    return tirx.Evaluate(tvm.tirx.call_extern("int32", name, *arguments))
