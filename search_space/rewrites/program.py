"""A TensorIR function as a list of stages, so that one of them can be computed differently.

:func:`lift` takes the loops and blocks apart, :class:`Emitter` puts tensor expressions together
again: stages that a rewrite does not mention come out as they were. Nothing looks at names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from search_space.tvm_api import tirx, tvm, tvm_ffi


class NotLiftable(ValueError):
    """The function has a form that rewrites do not handle; the message says which."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One iterator of a stage.

    Attributes:
        var: The variable that stands for it in expressions.
        extent: Trip count; it starts at zero.
        is_reduction: Whether it runs over a reduction.
    """

    var: Any
    extent: int
    is_reduction: bool = False

    @property
    def name(self) -> str:
        """Name without the prefix that blocks add."""
        return str(self.var.name).removeprefix("v_")


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One block: ``buffer[axes] = value``, or the reduction of ``value`` over ``reduction``.

    Attributes:
        name: Block name.
        buffer: What it writes, all of it, each element once.
        axes: One per dimension of the buffer.
        reduction: Reduction iterators; empty for element-wise stages.
        combiner: ``sum``, ``max`` or ``min`` for reductions, else None.
        value: What is stored, or combined into the result.
    """

    name: str
    buffer: Any
    axes: tuple[Axis, ...]
    reduction: tuple[Axis, ...]
    combiner: str | None
    value: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of what it writes."""
        return tuple(int(e) for e in self.buffer.shape)

    @property
    def dtype(self) -> str:
        """Element type of what it writes."""
        return str(self.buffer.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A PrimFunc taken apart.

    Attributes:
        func: Where it came from.
        params: Its buffers in call order.
        stages: Its blocks in execution order.
    """

    func: Any
    params: tuple[Any, ...]
    stages: tuple[Stage, ...]

    def producer(self, buffer: Any) -> Stage | None:
        """Return the stage that writes a buffer; None for inputs."""
        return next((s for s in self.stages if s.buffer.same_as(buffer)), None)

    def readers(self, buffer: Any) -> tuple[Stage, ...]:
        """Return the stages that read a buffer."""
        return tuple(s for s in self.stages if any(load.source.same_as(buffer) for load in loads_of(s.value)))

    def is_param(self, buffer: Any) -> bool:
        """Report whether a buffer belongs to the caller."""
        return any(p.same_as(buffer) for p in self.params)

    def anchor(self) -> Stage | None:
        """Return the reduction with the most iterations: what rewrites are about."""
        sums = [s for s in self.stages if s.combiner == "sum"]
        return max(sums, key=_iterations, default=None)


def _iterations(stage: Stage) -> int:
    count = 1
    for axis in (*stage.axes, *stage.reduction):
        count *= axis.extent
    return count


def loads_of(expression: Any) -> list[Any]:
    """Return every buffer access inside an expression, inner ones first."""
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, [(tvm.ir.TensorLoad, lambda load: found.append(load))])
    return found


def substitute(expression: Any, replacements: Sequence[tuple[Any, Any]]) -> Any:
    """Replace variables by expressions."""
    if not replacements or not hasattr(expression, "ty"):
        return expression

    def visit(variable: Any) -> Any:
        return next((new for old, new in replacements if variable.same_as(old)), variable)

    return tvm_ffi.structural_map(expression, (tvm.ir.Var, visit))


def map_loads(expression: Any, replace: Callable[[Any], Any]) -> Any:
    """Replace every buffer access (inner ones first) by ``replace(access)``."""
    return tvm_ffi.structural_map(expression, (tvm.ir.TensorLoad, replace))


def constant(value: Any) -> int | None:
    """Return an integer constant as an int, else None."""
    if isinstance(value, int):
        return value
    return int(value.value) if isinstance(value, tirx.IntImm) else None


def lift(func: Any, joins_phases: bool = False) -> Program:
    """Take an unscheduled PrimFunc apart.

    Args:
        func: A PrimFunc in TensorIR form: blocks under perfect loop nests, one loop an iterator.
        joins_phases: Whether a result that is written at ``q * s + r`` by two iterators counts as written by
            one, of which they are quotient and remainder.

    Returns:
        Its stages.

    Raises:
        NotLiftable: If a block is not ``buffer[axes] = value`` over plain loops.
    """
    root = func.body
    if not isinstance(root, tvm.s_tir.SBlockRealize):
        raise NotLiftable("the function has no root block")
    body = root.block.body
    statements = list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]
    stages = tuple(_lift_stage(s, joins_phases) for s in statements)
    for i, stage in enumerate(stages):
        if any(stage.buffer.same_as(other.buffer) for other in stages[:i]):
            raise NotLiftable(f"buffer {stage.buffer.name} is written by two blocks")
    return Program(func, tuple(p for p in func.params if hasattr(p, "shape")), stages)


def _lift_stage(statement: Any, joins_phases: bool) -> Stage:
    loops: list[tuple[Any, int]] = []
    while isinstance(statement, tirx.For):
        extent = constant(statement.extent)
        if extent is None or constant(statement.min) != 0 or int(statement.kind) != 0:
            raise NotLiftable("a loop is not serial over a constant range from zero")
        loops.append((statement.loop_var, extent))
        statement = statement.body
    if not isinstance(statement, tvm.s_tir.SBlockRealize):
        raise NotLiftable("a statement is not a block under loops")
    block = statement.block
    name = str(block.name_hint)
    fixed: list[tuple[Any, Any]] = []
    spatial: list[Axis] = []
    reduction: list[Axis] = []
    if constant(statement.predicate) != 1:
        raise NotLiftable(f"block {name} has a predicate")
    for iterator, bound in zip(block.iter_vars, statement.iter_values, strict=True):
        extent = constant(iterator.dom.extent)
        plain = any(bound.same_as(v) and e == extent for v, e in loops) if hasattr(bound, "ty") else False
        if extent is None or not (plain or (extent == 1 and constant(bound) == 0)):
            raise NotLiftable(f"block {name} does not bind one loop to each iterator")
        kind = int(iterator.iter_type)
        if kind not in (0, 2):
            raise NotLiftable(f"block {name} has an opaque iterator")
        if kind == 2 and extent == 1:
            fixed.append((iterator.var, tirx.const(0, str(iterator.var.ty))))
            continue
        (spatial if kind == 0 else reduction).append(Axis(iterator.var, extent, kind == 2))
    store = block.body
    if not isinstance(store, tirx.BufferStore) or block.match_buffers or block.alloc_buffers:
        raise NotLiftable(f"block {name} is not a single store")
    if joins_phases:
        store, spatial = _joined_phases(store, spatial)
    axes = _store_axes(name, store, spatial)
    value, combiner = store.value, None
    if block.init is not None:
        value, combiner = _combined(name, store)
    value = _with_simple_indices(substitute(value, fixed), (*axes, *reduction))
    if any(load.source.same_as(store.buffer) for load in loads_of(value)):
        raise NotLiftable(f"block {name} reads what it writes")
    return Stage(name, store.buffer, axes, tuple(reduction), combiner, value)


def _with_simple_indices(value: Any, axes: Sequence[Axis]) -> Any:
    """Simplify indices with the iterators' ranges known: ``co // 64`` is 0 in an ungrouped convolution."""
    analyzer = tvm.sym.Analyzer()
    for axis in axes:
        if axis.extent > 1:  # an iterator over one element would be replaced by zero
            analyzer.bind(axis.var, tvm.ir.Range(0, axis.extent))

    def visit(load: Any) -> Any:
        indices = [analyzer.simplify(i) if hasattr(i, "ty") else i for i in load.indices]
        return tirx.BufferLoad(load.source, indices)

    return map_loads(value, visit)


def _store_axes(name: str, store: Any, spatial: list[Axis]) -> tuple[Axis, ...]:
    axes: list[Axis] = []
    for index, extent in zip(store.indices, store.buffer.shape, strict=True):
        size = constant(extent)
        match = [a for a in spatial if hasattr(index, "ty") and index.same_as(a.var)]
        if match and match[0].extent == size and not any(match[0] is a for a in axes):
            axes.append(match[0])
        elif constant(index) == 0 and size == 1:
            axes.append(Axis(tirx.Var("unit", "int32"), 1))
        else:
            raise NotLiftable(f"block {name} does not write each element of its buffer once")
    if any(a.extent > 1 and not any(a is b for b in axes) for a in spatial):
        raise NotLiftable(f"block {name} writes elements more than once")
    return tuple(axes)


def _joined_phases(store: Any, spatial: list[Axis]) -> tuple[Any, list[Axis]]:
    """Replace pairs of iterators that write at ``q * s + r`` by one, in the order of the indices."""

    def axis_of(value: Any) -> Axis | None:
        return next((a for a in spatial if hasattr(value, "ty") and value.same_as(a.var)), None)

    left, replaced, indices = list(spatial), [], []
    for index in store.indices:
        product = index.a if isinstance(index, tirx.Add) else None
        if not isinstance(product, tirx.Mul):
            indices.append(index)
            continue
        quotient, remainder = axis_of(product.a), axis_of(index.b)
        if quotient is None or remainder is None or constant(product.b) != remainder.extent:
            indices.append(index)
            continue
        stride = remainder.extent
        joined = Axis(tirx.Var(str(quotient.name), "int32"), quotient.extent * stride)
        left = [joined if a is quotient else a for a in left if a is not remainder]
        replaced += [
            (quotient.var, tirx.floordiv(joined.var, stride)),
            (remainder.var, tirx.floormod(joined.var, stride)),
        ]
        indices.append(joined.var)
    if not replaced:
        return store, spatial
    return tirx.BufferStore(store.buffer, substitute(store.value, replaced), indices), left


def _combined(name: str, store: Any) -> tuple[Any, str]:
    kinds = {tirx.Add: "sum", tirx.Max: "max", tirx.Min: "min"}
    combiner = next((text for node, text in kinds.items() if isinstance(store.value, node)), None)
    if combiner is None:
        raise NotLiftable(f"block {name} reduces by something else than sum, max or min")
    for own, other in ((store.value.a, store.value.b), (store.value.b, store.value.a)):
        if isinstance(own, tvm.ir.TensorLoad) and own.source.same_as(store.buffer):
            return other, combiner
    raise NotLiftable(f"block {name} does not update its own element")
