"""LLVM code of intrinsics that a module calls, handed to the compiler with the module."""

from __future__ import annotations

from typing import Any

from search_space.tensorize.bits import hold_as_bits
from search_space.tensorize.registry import with_llvm
from search_space.tvm_api import IRModule, PrimFunc, tirx, tvm, walk_types

_PRAGMA = "pragma_import_llvm"


def link_intrinsics(module: Any) -> Any:
    """Attach the LLVM code of registered intrinsics to the functions that call it.

    The code comes from this process' registry, never from a record: a trace names intrinsics only.

    Args:
        module: An IRModule of TensorIR functions.

    Returns:
        The module, with the functions that call such code changed.
    """
    changed = {}
    for name, func in module.functions.items():
        if isinstance(func, PrimFunc):
            called = _called(func)
            known = with_llvm() if called else ()
            sources = [i.llvm for i in known if any(f"@{symbol}(" in i.llvm for symbol in called)]
            if sources:
                changed[name] = _linked(hold_as_bits(func), sources)
    return IRModule({**dict(module.functions.items()), **changed}) if changed else module


def _called(func: Any) -> set[str]:
    found: set[str] = set()

    def visit(call: Any) -> None:
        if str(getattr(call.op, "name", "")).rpartition(".")[2] in ("call_extern", "call_pure_extern"):
            found.add(str(call.args[0].value))

    walk_types(func.body, [(tvm.ir.Call, visit)])
    return found


def _linked(func: Any, sources: list[str]) -> Any:
    root = func.body
    block = root.block
    body = block.body
    for source in sources:
        body = tirx.AttrStmt(tirx.IntImm("int32", 0), _PRAGMA, tvm.ir.StringImm(source), body)
    inner = tvm.s_tir.SBlock(
        block.iter_vars,
        block.reads,
        block.writes,
        block.name_hint,
        body,
        block.init,
        block.alloc_buffers,
        block.match_buffers,
        block.annotations,
    )
    realize = tvm.s_tir.SBlockRealize(root.iter_values, root.predicate, inner)
    return PrimFunc(func.params, realize, func.ret_type, func.attrs)
