"""Transposed convolution without multiplications by inserted zeros.

before (kernel k, stride s; the condition holds for one in s taps)::

    out[h] = sum(r < k)  (x[(h + r + b) / s] if (h + r + b) % s == 0 else 0) * w[r]

after (phase p = h % s, only the taps of the phase)::

    out[s*h' + p] = sum(j < ceil(k/s))  x_padded[h' + e(p) + j] * w[r0(p) + s*j]

Where the kernel is no multiple of the stride, phases have different numbers of taps: the weights
are copied by phase with zeros for the missing ones. Where the output is no multiple of the stride,
it is computed rounded up and cropped. The gather by phase is the sub-pixel form of
W. Shi et al., *Is the deconvolution layer the same as a convolutional layer?* (2016).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from search_space.rewrites.affine import Dim, axes_in
from search_space.rewrites.base import Rewrite
from search_space.rewrites.contraction import Contraction, anchor_contraction
from search_space.rewrites.emit import Emitter, Layout, combine, emit, guarded
from search_space.rewrites.layouts import split_layout
from search_space.rewrites.padding import is_regular, padded_reader, window_index, window_range
from search_space.rewrites.program import Axis, Program, substitute
from search_space.tvm_api import te, tvm


@dataclass(frozen=True, slots=True, eq=False)
class Phases:
    """One zero-dilated dimension of the data, split by phase.

    Attributes:
        position: Dimension of the data.
        spatial: Output iterator.
        tap: Reduction iterator.
        stride: Number of phases.
        direction: 1 or -1, the sign with which taps move.
        first: First tap of each phase.
        shift: Source coordinate of that tap at ``h' = 0``, for each phase.
        taps: Number of taps of the longest phase.
    """

    position: int
    spatial: Axis
    tap: Axis
    stride: int
    direction: int
    first: tuple[int, ...]
    shift: tuple[int, ...]
    taps: int

    @property
    def positions(self) -> int:
        """Number of output positions of one phase, rounded up."""
        return -(-self.spatial.extent // self.stride)

    @property
    def is_complete(self) -> bool:
        """Whether every phase has the same number of taps."""
        return all(f + self.stride * (self.taps - 1) < self.tap.extent for f in self.first)

    @property
    def source_range(self) -> tuple[int, int]:
        """Smallest and largest source coordinate."""
        moves = [0, self.direction * (self.taps - 1)]
        return (
            min(self.shift) + min(moves),
            max(self.shift) + max(moves) + self.positions - 1,
        )


def decompose_by_phase(program: Program) -> Rewrite | None:
    """Rewrite a convolution over a zero-dilated input; None if the program has none."""
    contraction = anchor_contraction(program)
    if contraction is None or not is_regular(contraction):
        return None
    phases: list[Phases] = []
    for d, dim in enumerate(contraction.data.dims):
        if dim is not None and dim.divisor > 1:
            found = phases_of(d, dim)
            if found is None:
                return None
            phases.append(found)
    if not phases:
        return None
    func = emit(program, [(contraction.stage, lambda e: _compute(e, contraction, tuple(phases)))])
    return Rewrite("phases", func, 1.0)


def phases_of(position: int, dim: Dim) -> Phases | None:
    """Split a zero-dilated dimension of the data by phase; None if it is strided or dilated besides."""
    if dim.spatial is None or dim.tap is None or dim.stride != 1 or abs(dim.dilation) != 1:
        return None
    s = dim.divisor
    first = tuple((-dim.dilation * (p + dim.offset)) % s for p in range(s))
    shift = tuple((p + dim.offset + dim.dilation * f) // s for p, f in enumerate(first))
    taps = max(-(-(dim.tap.extent - f) // s) for f in first)
    if taps < 1:
        return None
    return Phases(position, dim.spatial, dim.tap, s, dim.dilation, first, shift, taps)


def _compute(emitter: Emitter, contraction: Contraction, phases: tuple[Phases, ...]) -> tuple[Any, Layout]:
    stage = contraction.stage
    layout = split_layout(stage, [(p.spatial, p.stride) for p in phases])
    ranges = {p.position: p.source_range for p in phases}
    for d in contraction.windows:
        dim = contraction.data.dims[d]
        if dim is not None and dim.divisor == 1 and dim.is_guarded:
            ranges[d] = window_range(contraction, d)
    read = padded_reader(emitter, contraction.data, ranges, f"{stage.name}_pad")
    weight_of = _weight_reader(emitter, contraction, phases)
    taps = {id(p): te.reduce_axis((0, p.taps), name=p.tap.name) for p in phases}
    reduction = []
    bound: list[tuple[Any, Any]] = []
    for axis in stage.reduction:
        owner = next((p for p in phases if p.tap is axis), None)
        if owner is None:
            plain = te.reduce_axis((0, axis.extent), name=axis.name)
            bound.append((axis.var, plain.var))
            reduction.append(plain)
        else:
            reduction.append(taps[id(owner)])

    def body(*index: Any) -> Any:
        position = list(index)
        replaced = list(bound)
        places: dict[int, tuple[Any, Any]] = {}
        for axis in stage.axes:
            owner = next((p for p in phases if p.spatial is axis), None)
            if owner is None:
                replaced.append((axis.var, position.pop(0)))
            else:
                places[id(owner)] = (position.pop(0), position.pop(0))
        source = [window_index(contraction, d, replaced) for d in range(len(contraction.data.indices))]
        for p in phases:
            base, phase = places[id(p)]
            move = taps[id(p)].var if p.direction == 1 else -taps[id(p)].var
            source[p.position] = base + phase_table(phase, p.shift) + move
        lanes = [(places[id(p)][1], taps[id(p)].var) for p in phases]
        return combine("sum", contraction.product(read(source), weight_of(lanes, replaced)), reduction)

    return emitter.compute(layout.shape, body, stage.name, layout.names), layout


def _weight_reader(emitter: Emitter, contraction: Contraction, phases: tuple[Phases, ...]) -> Any:
    """Return (phase and tap of each dimension, other iterators) to weight element."""
    weight, stage = contraction.weight, contraction.stage

    def element(lanes: list[tuple[Any, Any]], replaced: list[tuple[Any, Any]]) -> tuple[list[Any], Any]:
        chosen = list(replaced)
        inside = []
        for p, (phase, tap) in zip(phases, lanes, strict=True):
            original = phase_table(phase, p.first) + tap * p.stride
            chosen.append((p.tap.var, original))
            if not p.is_complete:
                inside.append(original < p.tap.extent)
        index = [substitute(i, chosen) for i in weight.indices]
        inside += [substitute(c, chosen) for c in weight.conditions]
        return inside, emitter.read(weight.buffer, index)

    tables = [t for p in phases for t in (p.first,)]
    if all(_is_affine(t) for t in tables) and all(p.is_complete for p in phases) and not weight.conditions:
        return lambda lanes, replaced: element(lanes, replaced)[1]
    tapped = [p.tap for p in phases]
    others = [a for a in weight.axes((*stage.axes, *stage.reduction)) if not any(a is t for t in tapped)]
    ordered = _in_index_order(weight.indices, others)
    shape = [p.stride for p in phases] + [p.taps for p in phases] + [a.extent for a in ordered]
    names = [f"{p.spatial.name}_phase" for p in phases] + [a.name for a in (*tapped, *ordered)]

    def copy(*index: Any) -> Any:
        count = len(phases)
        lanes = list(zip(index[:count], index[count : 2 * count], strict=True))
        replaced = [(a.var, i) for a, i in zip(ordered, index[2 * count :], strict=True)]
        inside, value = element(lanes, replaced)
        return guarded(inside, value, weight.dtype)

    tensor = emitter.compute(shape, copy, f"{stage.name}_weight", names)

    def read(lanes: list[tuple[Any, Any]], replaced: list[tuple[Any, Any]]) -> Any:
        rest = [substitute(a.var, replaced) for a in ordered]
        return tensor(*(phase for phase, _ in lanes), *(tap for _, tap in lanes), *rest)

    return read


def _in_index_order(indices: tuple[Any, ...], axes: list[Axis]) -> list[Axis]:
    """Order iterators by the dimension of the weight that they index, so that copies are contiguous."""
    ordered: list[Axis] = []
    for index in indices:
        ordered += [a for a in axes_in(index, axes) if not any(a is o for o in ordered)]
    return ordered


def _is_affine(table: tuple[int, ...]) -> bool:
    return len({b - a for a, b in itertools.pairwise(table)}) <= 1


def phase_table(position: Any, table: tuple[int, ...]) -> Any:
    """Return ``table[position]`` as arithmetic: affine where possible, else by comparisons."""
    if len(set(table)) == 1:
        return tvm.tirx.const(table[0], "int32")
    if _is_affine(table):
        scaled = position * (table[1] - table[0])
        return scaled + table[0] if table[0] else scaled
    result: Any = tvm.tirx.const(table[-1], "int32")
    for p in range(len(table) - 2, -1, -1):
        result = tvm.tirx.Select(position <= p, tvm.tirx.const(table[p], "int32"), result)
    return result
