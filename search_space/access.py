"""What a block computes on: its iterators, and how each buffer's index depends on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from search_space.nest import Floats, LoopKind
from search_space.rules.places import KEPT
from search_space.statements import Survey
from search_space.tvm_api import Schedule, tirx, tvm, tvm_ffi, walk_types
from search_space.vector_access import vector_width


@dataclass(frozen=True, slots=True)
class Axis:
    """One iterator of a block.

    Attributes:
        name: The iterator's name.
        extent: Trip count.
        kind: Spatial or reduction.
        group: Inner extent at which the index arithmetic divides the iterator (grouped
            convolutions read ``co // 32``); 1 when it is used whole.
    """

    name: str
    extent: int
    kind: LoopKind
    group: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class BufferUse:
    """One buffer that a block reads or writes.

    Attributes:
        name: The buffer's name.
        position: Place among the block's read (or written) regions.
        shape: Extents.
        dtype: Element type.
        element_bytes: Bytes of one element.
        is_write: Whether the block writes it.
        coefficients: [D, A] change of each index per step of each iterator. Exact when ``affine``,
            else the mean slope over the iterator's range (within one group for grouped iterators).
        group_coefficients: [D, A] change of each index when an iterator moves by one whole group;
            the same as ``coefficients`` times the group for plain iterators.
        affine: Whether every index is an affine function of the iterators.
        single: [D] the one axis that dimension is indexed by with coefficient 1 and no offset, or -1.
        vector: Most neighbouring steps of the last iterator, a power of two up to 16, whose elements are
            neighbours that start at a multiple of them (or all the same); 1 if there is none.
    """

    name: str
    position: int
    shape: tuple[int, ...]
    dtype: str
    element_bytes: int
    is_write: bool
    coefficients: Floats
    group_coefficients: Floats
    affine: bool
    single: tuple[int, ...]
    vector: int = 1

    @property
    def axes(self) -> frozenset[int]:
        """Positions of the iterators that the buffer's index depends on."""
        return frozenset(int(a) for a in np.nonzero(np.any(self.coefficients != 0, axis=0))[0])

    @property
    def is_plain(self) -> bool:
        """Whether every dimension is walked by one iterator of its own (or has extent one)."""
        walked = [s for s, e in zip(self.single, self.shape, strict=True) if e > 1]
        return -1 not in walked and len(set(walked)) == len(walked)

    def reindexed(self, axes: tuple[Axis, ...]) -> BufferUse:
        """Return how a copy is read that has one dimension for each iterator that the index uses."""
        used = tuple(sorted(a for a in self.axes if axes[a].extent > 1))
        identity = np.zeros((len(used), len(axes)))
        identity[np.arange(len(used)), used] = 1
        shape = tuple(axes[a].extent for a in used)
        steps = np.array([float(a.group) for a in axes])
        return replace(
            self,
            shape=shape,
            coefficients=identity,
            group_coefficients=identity * steps,
            affine=True,
            single=used,
        )

    def last_coefficient(self, axis: int) -> float:
        """Return how far one step of an iterator moves in memory, in elements."""
        strides = np.array([prod(self.shape[d + 1 :]) for d in range(len(self.shape))], dtype=float)
        return float(np.sum(strides * self.coefficients[:, axis])) if self.shape else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class BlockInfo:
    """One block of a TensorIR function.

    Attributes:
        name: The block's name.
        axes: Its iterators in binding order.
        reads: Buffers it reads (without the accumulator it writes).
        writes: Buffers it writes.
        flops: Floating-point operations of one execution of the body.
        transcendentals: Calls of exp and the like in one execution.
        conditional: Whether the body selects by a condition (padding).
        stores: Store statements of the body (without the initialisation).
        is_reduction: Whether it has an initialisation and reduction iterators.
        is_output: Whether it writes a parameter of the function.
        producers: Names of the blocks it reads from.
        consumers: Names of the blocks that read what it writes.
        is_kept: Whether it shall not be inlined: a reduction would repeat it (see ``Emitter.compute``).
        body: The TensorIR block itself.
    """

    name: str
    axes: tuple[Axis, ...]
    reads: tuple[BufferUse, ...]
    writes: tuple[BufferUse, ...]
    flops: float
    transcendentals: float
    conditional: bool
    stores: int
    is_reduction: bool
    is_output: bool
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    is_kept: bool = False
    body: Any = None

    @property
    def spatial(self) -> tuple[int, ...]:
        """Positions of the spatial iterators."""
        return tuple(i for i, a in enumerate(self.axes) if a.kind == LoopKind.SPATIAL)

    @property
    def reduction(self) -> tuple[int, ...]:
        """Positions of the reduction iterators."""
        return tuple(i for i, a in enumerate(self.axes) if a.kind == LoopKind.REDUCTION)

    @property
    def spatial_size(self) -> int:
        """Product of the spatial extents."""
        return prod(self.axes[i].extent for i in self.spatial)

    @property
    def reduction_size(self) -> int:
        """Product of the reduction extents."""
        return prod(self.axes[i].extent for i in self.reduction)

    @property
    def has_reuse(self) -> bool:
        """Whether some operand is not indexed by some spatial iterator (so tiles are reused)."""
        busy = {i for i in self.spatial if self.axes[i].extent > 1}
        return self.is_reduction and any(busy - use.axes for use in self.reads)


def analyse(sch: Schedule, known: list[BlockInfo] | None = None) -> dict[str, BlockInfo]:
    """Describe every block of a schedule's ``main`` function, in program order.

    Args:
        sch: A schedule whose blocks still have one loop per iterator.
        known: Descriptions of earlier states of the same program: a block that is still the same is not
            looked at again. What is new is added.

    Returns:
        Block name to description.
    """
    func = sch.mod["main"]
    params = {p.name for p in func.params if hasattr(p, "shape")}
    root = sch.get_sblock("root")
    blocks = sch.get_child_blocks(root)
    infos: dict[str, BlockInfo] = {}
    for rv in blocks:
        block = sch.get(rv)
        producers = tuple(str(sch.get(p).name_hint) for p in sch.get_producers(rv))
        consumers = tuple(str(sch.get(c).name_hint) for c in sch.get_consumers(rv))
        info = next((k for k in known or () if block.same_as(k.body)), None)
        if info is None or (info.producers, info.consumers) != (producers, consumers):
            if info is None:
                info = _describe(block, producers, consumers, params)
            else:
                info = replace(info, producers=producers, consumers=consumers)
            if known is not None:
                known.append(info)
        infos[str(block.name_hint)] = info
    return infos


def _describe(
    block: Any, producers: tuple[str, ...], consumers: tuple[str, ...], params: set[str]
) -> BlockInfo:
    variables = [iv.var for iv in block.iter_vars]
    extents = [int(iv.dom.extent) for iv in block.iter_vars]
    survey = Survey(block.body)
    loads, stores = survey.loads, survey.stores
    groups = _group_divisors(loads, variables, extents)
    axes = tuple(
        Axis(
            str(iv.var.name).removeprefix("v_"),
            extent,
            LoopKind.REDUCTION if int(iv.iter_type) == 2 else LoopKind.SPATIAL,
            groups.get(i, 1),
        )
        for i, (iv, extent) in enumerate(zip(block.iter_vars, extents, strict=True))
    )
    read_order = [str(r.source.name) for r in block.reads]
    reads = [
        _use(
            name,
            read_order.index(name) if name in read_order else -1,
            *loads[name],
            variables,
            extents,
            groups,
            False,
        )
        for name in loads
        if name not in stores
    ]
    writes = [_use(name, i, *stores[name], variables, extents, groups, True) for i, name in enumerate(stores)]
    return BlockInfo(
        name=str(block.name_hint),
        axes=axes,
        reads=tuple(reads),
        writes=tuple(writes),
        flops=survey.flops,
        transcendentals=survey.transcendentals,
        conditional=survey.is_conditional,
        stores=sum(len(indices) for _, indices in stores.values()),
        is_reduction=block.init is not None and any(a.kind == LoopKind.REDUCTION for a in axes),
        is_output=any(name in params for name in stores),
        producers=producers,
        consumers=consumers,
        is_kept=KEPT in block.annotations,
        body=block,
    )


def _use(
    name: str,
    position: int,
    buffer: Any,
    index_lists: list[Any],
    variables: list[Any],
    extents: list[int],
    groups: dict[int, int],
    is_write: bool,
) -> BufferUse:
    shape = tuple(int(s) for s in buffer.shape)
    indices = index_lists[0]
    coefficients = np.zeros((len(shape), len(variables)))
    by_group = np.zeros((len(shape), len(variables)))
    affine = True
    single: list[int] = []
    for d, index in enumerate(indices):
        row, group_row, exact, constant = _slopes(index, variables, extents, groups)
        coefficients[d] = row
        by_group[d] = group_row
        affine &= exact
        nonzero = np.nonzero(row)[0]
        plain = exact and constant == 0 and len(nonzero) == 1 and row[nonzero[0]] == 1
        single.append(int(nonzero[0]) if plain else -1)
    same = all(tvm_ffi.structural_equal(list(indices), list(other)) for other in index_lists[1:])
    dtype = str(buffer.dtype)
    bits = int(tvm.DataType(dtype).bits)
    return BufferUse(
        name,
        position,
        shape,
        dtype,
        max(1, bits // 8),
        is_write,
        coefficients,
        by_group,
        affine and same,
        tuple(single),
        min(vector_width(indices, shape, variables, extents) for indices in index_lists),
    )


def _slopes(
    index: Any, variables: list[Any], extents: list[int], groups: dict[int, int]
) -> tuple[Floats, Floats, bool, int]:
    """Return the change of an index per iterator and per group, whether it is exact, its constant."""
    size = len(variables)
    steps = np.array([float(groups.get(i, 1)) for i in range(size)])
    if not hasattr(index, "ty"):
        return np.zeros(size), np.zeros(size), True, int(index)
    analyzer = tvm.sym.Analyzer()
    for variable, extent in zip(variables, extents, strict=True):
        analyzer.bind(variable, tvm.ir.Range(0, extent))
    index = analyzer.simplify(index)
    found = tvm.sym.detect_linear_equation(index, variables)
    if len(found) == size + 1 and all(isinstance(c, (int, tirx.IntImm)) for c in found):
        row = np.array([float(int(c)) for c in found[:-1]])
        return row, row * steps, True, int(found[-1])

    def value(moved: int, position: int) -> float | None:
        def at_point(node: Any) -> Any:
            for i, variable in enumerate(variables):
                if node.same_as(variable):
                    return tirx.IntImm(str(variable.ty), position if i == moved else 0)
            return node

        found = analyzer.simplify(tvm_ffi.structural_map(index, (tvm.ir.Var, at_point)))
        return float(int(found)) if isinstance(found, (int, tirx.IntImm)) else None

    base = value(-1, 0)
    row = np.zeros(size)
    group_row = np.zeros(size)
    if base is None:
        return row, group_row, False, 0  # the index is data (a gather): nothing is known of it
    for i, extent in enumerate(extents):
        if extent > 1:
            group = groups.get(i, 1)
            reach = group if group > 1 else extent
            far, next_group = value(i, reach - 1), value(i, group)
            row[i] = 0.0 if far is None else (far - base) / (reach - 1)
            group_row[i] = next_group - base if group > 1 and next_group is not None else row[i]
    return row, group_row, False, int(base)


def _group_divisors(
    loads: dict[str, tuple[Any, list[Any]]], variables: list[Any], extents: list[int]
) -> dict[int, int]:
    """Find iterators that an index divides by a constant: ``co // 32`` gives 32."""
    found: dict[int, int] = {}
    whole: set[int] = set()

    def visit(node: Any) -> None:
        if isinstance(node.b, tirx.IntImm):
            for i, variable in enumerate(variables):
                if node.a.same_as(variable) and 1 < int(node.b) < extents[i]:
                    if isinstance(node, tirx.FloorMod):
                        whole.add(i)  # a fused iterator: both parts are used, tiles may cross them
                    else:
                        found[i] = max(found.get(i, 1), int(node.b))

    for _, lists in loads.values():
        for indices in lists:
            for index in indices:
                if hasattr(index, "ty"):
                    walk_types(index, [((tirx.FloorDiv, tirx.FloorMod), visit)])
    return {i: divisor for i, divisor in found.items() if i not in whole}
