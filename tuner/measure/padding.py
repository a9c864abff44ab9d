"""Leaves out what padding adds to sums: conditions of an operand become conditions of the statement.

before (a convolution with its padding inlined; rows i of the result, taps r)::

    for r, k:
        acc[0] = acc[0] + (1 <= i + r ? x[i + r - 1, k] : 0) * w[r, k]
        acc[1] = acc[1] + (1 <= i + r ? x[i + r - 1, k] : 0) * w[r, k + 16]

after::

    for r:
        if 1 <= i + r:
            for k:
                acc[0] = acc[0] + x[i + r - 1, k] * w[r, k]
                acc[1] = acc[1] + x[i + r - 1, k] * w[r, k + 16]

LLVM moves such a condition out of the loop too, but must then multiply by zero: a weight might be infinite.
TVM's simplifier leaves those products out where the condition is a constant, and libraries do everywhere.

Where rows have conditions of their own (rows of an image that are one axis), tiles inside of the image need
none of them; the loop asks at the border only::

    for r:
        if 1 <= i + r and i + r < 7:
            for k:
                acc[0] = acc[0] + x[i + r - 1, k] * w[r, k]
                acc[1] = acc[1] + x[i + r, k] * w[r, k]
        else:
            for k:
                if 1 <= i + r: acc[0] = ...
                if i + r < 7: acc[1] = ...
"""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import structural_equal, tirx, tvm, tvm_ffi, walk_types


def skip_padding(func: Any) -> Any:
    """Return a function without products with padding; its loops are vectorised, unrolled and simplified."""
    guarded: list[Any] = []

    def note(call: Any) -> None:
        if _is_condition(call):
            guarded.append(call)

    walk_types(func.body, [(tvm.ir.Call, note)])
    if not guarded:
        return func
    body = tvm_ffi.structural_map(func.body, (tirx.BufferStore, _conditional))
    if body.same_as(func.body):
        return func
    body = tvm_ffi.structural_map(body, (tirx.SeqStmt, _joined))
    return func.with_body(tvm_ffi.structural_map(body, (tirx.For, _outside)))


def _is_condition(call: Any) -> bool:
    return str(getattr(call.op, "name", "")).endswith("if_then_else")


def _conditional(store: Any) -> Any:
    """Return ``if c: a[i] = a[i] + x * w`` for ``a[i] = a[i] + (c ? x : 0) * w``."""
    if not isinstance(store.value, tirx.Add):
        return store
    for sum_so_far, product in ((store.value.a, store.value.b), (store.value.b, store.value.a)):
        if not isinstance(product, tirx.Mul) or not _is_same_place(sum_so_far, store):
            continue
        left, right = _unguarded(product.a), _unguarded(product.b)
        conditions = [found[0] for found in (left, right) if found is not None]
        if not conditions:
            return store
        a = product.a if left is None else left[1]
        b = product.b if right is None else right[1]
        kept = tirx.BufferStore(store.buffer, sum_so_far + a * b, store.indices)
        return tirx.IfThenElse(tirx.all(*conditions), kept, None)
    return store


def _is_same_place(load: Any, store: Any) -> bool:
    return (
        isinstance(load, tvm.ir.TensorLoad)
        and load.source.same_as(store.buffer)
        and len(load.indices) == len(store.indices)
        and all(_is_equal(a, b) for a, b in zip(load.indices, store.indices, strict=True))
    )


def _unguarded(factor: Any) -> tuple[Any, Any] | None:
    """Split ``c ? x : 0``, or a vector of it, into c and x."""
    if isinstance(factor, tirx.Broadcast):
        found = _unguarded(factor.value)
        return None if found is None else (found[0], tirx.Broadcast(found[1], factor.lanes))
    if not isinstance(factor, tvm.ir.Call) or not _is_condition(factor):
        return None
    condition, value, otherwise = factor.args
    if str(condition.ty) != "bool":  # a condition of each lane
        return None
    if isinstance(otherwise, tirx.Broadcast):
        otherwise = otherwise.value
    is_zero = isinstance(otherwise, (tirx.FloatImm, tirx.IntImm)) and float(otherwise.value) == 0
    return (condition, value) if is_zero else None


def _joined(block: Any) -> Any:
    """Return a sequence in which neighbours with one condition are one statement."""
    found: list[Any] = []
    for statement in block.seq:
        last: Any = found[-1] if found else statement
        both = bool(found) and _is_plain_if(last) and _is_plain_if(statement)
        if both and _is_equal(last.condition, statement.condition):
            body = tirx.SeqStmt([*_parts(last.then_case), *_parts(statement.then_case)])
            found[-1] = tirx.IfThenElse(last.condition, body, None)
        else:
            found.append(statement)
    return block if len(found) == len(block.seq) else tirx.stmt_seq(*found)


def _parts(statement: Any) -> list[Any]:
    return list(statement.seq) if isinstance(statement, tirx.SeqStmt) else [statement]


def _is_plain_if(statement: Any) -> bool:
    """Report whether a statement has one branch and a condition that no store can change."""
    if not isinstance(statement, tirx.IfThenElse) or statement.else_case is not None:
        return False
    loads: list[Any] = []
    walk_types(statement.condition, [(tvm.ir.TensorLoad, loads.append)])
    return not loads


def _outside(loop: Any) -> Any:
    """Return ``if c: for ...`` for a serial loop over ``if c`` that keeps c, or both ways of several."""
    if loop.kind != tirx.ForKind.SERIAL:
        return loop
    statements = _parts(loop.body)
    is_fixed = [_is_plain_if(s) and not _uses(s.condition, loop.loop_var) for s in statements]
    conditions: list[Any] = []
    for statement, fixed in zip(statements, is_fixed, strict=True):
        if fixed and not any(_is_equal(statement.condition, known) for known in conditions):
            conditions.append(statement.condition)
    if len(statements) == 1 and conditions:
        return tirx.IfThenElse(conditions[0], _looped(loop, loop.loop_var, statements[0].then_case), None)
    stores = [part for s in statements for part in (_parts(s.then_case) if _is_plain_if(s) else [s])]
    if len(conditions) < 2 or not all(isinstance(part, tirx.BufferStore) for part in stores):
        return loop
    inside = [
        part
        for s, fixed in zip(statements, is_fixed, strict=True)
        for part in (_parts(s.then_case) if fixed else [s])
    ]
    again = tirx.Var(loop.loop_var.name, loop.loop_var.ty)
    free = tvm_ffi.structural_map(
        tirx.SeqStmt(inside), (tvm.ir.Var, lambda v: again if v.same_as(loop.loop_var) else v)
    )
    return tirx.IfThenElse(tirx.all(*conditions), _looped(loop, again, free), loop)


def _looped(loop: Any, variable: Any, body: Any) -> Any:
    """Return a loop with another variable and body."""
    return tirx.For(variable, loop.min, loop.extent, loop.kind, body, annotations=loop.annotations)


def _uses(condition: Any, variable: Any) -> bool:
    found: list[Any] = []
    walk_types(condition, [(tvm.ir.Var, found.append)])
    return any(variable.same_as(v) for v in found)


def _is_equal(one: Any, other: Any) -> bool:
    return one.same_as(other) or structural_equal(one, other)
