"""Put a program together again with some of its stages computed differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_space.rewrites.program import Axis, Program, Stage, constant, map_loads, substitute
from search_space.rewrites.storage import reindex_parameter
from search_space.rules.places import KEPT
from search_space.tvm_api import te, tirx, tvm

Index = tuple[Any, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the elements of a tensor lie in the tensor that replaces it.

    Attributes:
        shape: Shape of the replacement.
        names: Axis names of the replacement.
        to_new: Index in the original to index in the replacement.
        to_old: The inverse; None if the replacement has elements that the original lacks.
        is_exact: Whether ``to_old`` reaches every element once; else some elements are there twice.
        uncovered: Index in the replacement to index in what it was before axes were covered by
            overlapping tiles (see ``overlap``).
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    to_new: Callable[[Index], Index]
    to_old: Callable[[Index], Index] | None
    is_exact: bool = True
    uncovered: Callable[[Index], Index] = tuple


Builder = Callable[["Emitter"], tuple[Any, Layout | None]]
"""Computes a stage's result as a tensor of its own shape (no layout) or of a layout's shape."""


class Emitter:
    """Builds tensor expressions stage by stage; builders ask it for what earlier stages made."""

    def __init__(self, program: Program, builders: Sequence[tuple[Stage, Builder]]) -> None:
        self.program = program
        self._builders = builders
        self._made: list[tuple[Any, Any, Layout | None]] = []
        self._names: set[str] = set()
        for param in program.params:
            if program.producer(param) is None:
                shape = [int(e) for e in param.shape]
                self._made.append(
                    (param, te.placeholder(shape, dtype=str(param.dtype), name=str(param.name)), None)
                )
                self._names.add(str(param.name))

    def fresh(self, name: str) -> str:
        """Return a name that no tensor of this function has yet."""
        candidate, number = name, 1
        while candidate in self._names:
            candidate, number = f"{name}_{number}", number + 1
        self._names.add(candidate)
        return candidate

    def uses(self, name: str) -> bool:
        """Report whether some tensor has a name."""
        return name in self._names

    def made(self, buffer: Any) -> tuple[Any, Layout | None]:
        """Return the tensor that holds a buffer's elements, and how they are laid out.

        Stages are built when they are first asked for: what nothing reads any more is left out.
        """
        for known, tensor, layout in self._made:
            if known.same_as(buffer):
                return tensor, layout
        stage = self.program.producer(buffer)
        if stage is None:
            raise KeyError(f"buffer {buffer.name} is neither a parameter nor written")
        builder = next((b for s, b in self._builders if s is stage), None)
        if builder is not None:
            tensor, layout = builder(self)
        else:
            layout = _inherited_layout(self, stage)
            tensor = _default(self, stage, layout)
        self._made.append((buffer, tensor, layout))
        return tensor, layout

    def read(self, buffer: Any, index: Sequence[Any]) -> Any:
        """Return the element of a buffer at an index in its original shape."""
        tensor, layout = self.made(buffer)
        return tensor(*(layout.to_new(tuple(index)) if layout else index))

    def convert(self, expression: Any, replacements: Sequence[tuple[Any, Any]] = ()) -> Any:
        """Turn a stage's expression into one on tensors, its variables replaced."""
        replaced = substitute(expression, replacements)
        return map_loads(replaced, lambda load: self.read(load.source, load.indices))

    def compute(
        self,
        shape: Sequence[int],
        body: Callable[..., Any],
        name: str,
        axis_names: Sequence[str] = (),
        is_kept: bool = False,
        marks: Mapping[str, Any] | None = None,
    ) -> Any:
        """Like ``te.compute`` with unique names; what is kept is not inlined into what reads it.

        ``marks`` become annotations of the block.
        """
        names = list(axis_names) or [f"i{d}" for d in range(len(shape))]
        return te.compute(
            tuple(shape),
            lambda *index: body(*index),
            name=self.fresh(name),
            attrs={**(marks or {}), **({KEPT: 1} if is_kept else {})} or None,
            varargs_names=names,
        )


def reduce_axes(axes: Sequence[Any]) -> list[Any]:
    """Return a reduction axis of the tensor language for every axis of a stage."""
    return [te.reduce_axis((0, a.extent), name=a.name) for a in axes]


def combine(kind: str, value: Any, axes: Sequence[Any]) -> Any:
    """Reduce a value over axes by ``sum``, ``max`` or ``min``; without axes it is the value."""
    if not axes:
        return value
    return {"sum": te.sum, "max": te.max, "min": te.min}[kind](value, axis=list(axes))


def emit(program: Program, builders: Sequence[tuple[Stage, Builder]]) -> Any:
    """Build the PrimFunc in which some stages are computed by builders.

    Element-wise stages that read a replaced stage element for element take over its layout, if the
    layout is one to one; so a fused epilogue runs over the same axes as the computation it follows.

    Args:
        program: What to build.
        builders: Stages with what computes them instead.

    Returns:
        A PrimFunc with the parameters and attributes of the original.
    """
    emitter = Emitter(program, builders)
    arguments: list[Any] = []
    moved: list[tuple[int, Layout]] = []
    for position, param in enumerate(program.params):
        tensor, layout = emitter.made(param)
        if layout is not None and layout.to_old is not None:
            if not layout.is_exact and any(s.buffer.same_as(param) for s, _ in builders):
                # Sums are made apart: added up in place, what is there twice would count double.
                sums = tensor
                tensor = emitter.compute(
                    layout.shape, lambda *i, t=sums: t(*i), f"{param.name}_result", layout.names
                )
            moved.append((position, layout))
        elif layout is not None:
            shape = [int(e) for e in param.shape]
            tensor = emitter.compute(shape, lambda *i, p=param: emitter.read(p, i), f"{param.name}_result")
        arguments.append(tensor)
    func = te.create_prim_func(arguments)
    for position, layout in moved:
        original = program.params[position]
        assert layout.to_old is not None
        func = reindex_parameter(func, position, [int(e) for e in original.shape], layout.to_old)
    for position, original in enumerate(program.params):
        # Buffers are told apart by name in places: a name is given back only if nothing else has it.
        if not emitter.uses(str(original.name)):
            shape = [int(e) for e in original.shape]
            func = reindex_parameter(func, position, shape, lambda index: index, str(original.name))
    return _with_attributes_of(func, program.func)


def _default(emitter: Emitter, stage: Stage, layout: Layout | None) -> Any:
    reduction = reduce_axes(stage.reduction)
    bound = [(a.var, r.var) for a, r in zip(stage.reduction, reduction, strict=True)]

    def plain(*index: Any) -> Any:
        spatial = [(a.var, i) for a, i in zip(stage.axes, index, strict=True)]
        value = emitter.convert(stage.value, [*spatial, *bound])
        return combine(stage.combiner, value, reduction) if stage.combiner else value

    def moved(*index: Any) -> Any:
        assert layout is not None and layout.to_old is not None
        variables = tuple(a.var for a in stage.axes)

        def read(load: Any) -> Any:
            tensor, own = emitter.made(load.source)
            if own is not None and _is_identity(load.indices, stage.axes):
                return tensor(*index)
            return emitter.read(load.source, load.indices)

        on_tensors = map_loads(stage.value, read)
        return substitute(on_tensors, list(zip(variables, layout.to_old(index), strict=True)))

    if layout is None:
        return emitter.compute(stage.shape, plain, stage.name, [a.name for a in stage.axes])
    return emitter.compute(layout.shape, moved, stage.name, layout.names)


def _inherited_layout(emitter: Emitter, stage: Stage) -> Layout | None:
    """The layout of what an element-wise stage reads element for element, if all agree."""
    if stage.reduction or stage.combiner:
        return None
    found: list[Layout] = []

    def visit(load: Any) -> Any:
        _, layout = emitter.made(load.source)
        same_shape = [int(e) for e in load.source.shape] == list(stage.shape)
        if layout is not None and same_shape and _is_identity(load.indices, stage.axes):
            found.append(layout)
        return load

    map_loads(stage.value, visit)
    if not found or found[0].to_old is None or any(layout is not found[0] for layout in found):
        return None
    return found[0]


def _is_identity(indices: Sequence[Any], axes: Sequence[Axis]) -> bool:
    """Report whether an index is that of the stage itself (0 is as good where there is one element)."""
    return len(indices) == len(axes) and all(
        (hasattr(i, "ty") and i.same_as(a.var)) or (a.extent == 1 and constant(i) == 0)
        for i, a in zip(indices, axes, strict=True)
    )


def _with_attributes_of(func: Any, original: Any) -> Any:
    attributes = dict(original.attrs.items()) if original.attrs is not None else {}
    for name in list(func.attrs.keys()):
        if name not in attributes:
            func = func.without_attr(name)
    for name, value in attributes.items():
        func = func.with_attr(name, value)
    return func


def zero(dtype: str) -> Any:
    """Return the zero of an element type."""
    return tirx.const(0, dtype)


def guarded(conditions: Sequence[Any], value: Any, dtype: str) -> Any:
    """Return ``value`` where every condition holds, else zero (nothing is read there)."""
    if not conditions:
        return value
    return tvm.tirx.if_then_else(tirx.all(*conditions), value, zero(dtype))
