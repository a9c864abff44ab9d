"""The normal form of a product: batch, rows, columns, terms; fused, padded, read through one block each.

before::

    for n, h, w, co, kh, kw, ci: C[n, h, w, co] += P[n, h + kh, w + kw, ci] * W[kh, kw, ci, co]

after::

    for m, k: A[m, k] = P[...] ; for k, n: B[k, n] = W[...]       # computed while they are fetched
    for m, n, k: S[m, n] += A[m, k] * B[k, n]
    for n, h, w, co: C[n, h, w, co] = S[...]                      # or the element-wise consumer

Iterators are grouped by their characteristic vectors (TensorIR, arXiv 2207.04296, section 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from search_space.tensorize import Mapping
from search_space.tensorize.mma import MmaTypes
from search_space.tensorize.pattern import occurs
from search_space.tensorize.wmma import EDGE, FragmentTypes
from search_space.tvm_api import Schedule, tirx

SHARED = "shared.dyn"


@dataclass(frozen=True, slots=True)
class TensorForm:
    """How a block becomes a product of matrices.

    Attributes:
        block: Name of the block.
        types: Element types.
        extents: Trip counts of its iterators.
        outer: Positions of the iterators that both factors and the result share (batch, groups).
        rows: Positions of the iterators of the first factor and the result.
        columns: Positions of those of the second factor and the result.
        terms: Positions of those of both factors.
        factors: Read positions of the two factors.
        is_transposed: Whether terms lie together in the second factor's memory.
        makers: Names of blocks that are computed while a factor is fetched, nearest to the inputs last.
        epilogue: Names of the element-wise blocks after the product that its write-back takes in.
    """

    block: str
    types: FragmentTypes | MmaTypes
    extents: tuple[int, ...]
    outer: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    terms: tuple[int, ...]
    factors: tuple[int, int]
    is_transposed: bool
    makers: tuple[str, ...]
    epilogue: str | None

    def size(self, group: Sequence[int]) -> int:
        """Return the extent of fused iterators, rounded up to whole fragments."""
        edge = self.types.terms if group == self.terms else EDGE
        return -(-prod(self.extents[p] for p in group) // edge) * edge

    @property
    def batch(self) -> int:
        """Independent products."""
        return prod(self.extents[p] for p in self.outer)

    @property
    def crops(self) -> bool:
        """Whether the padded result is larger than the result."""
        return any(prod(self.extents[p] for p in g) % EDGE for g in (self.rows, self.columns))

    def prepare(self, sch: Schedule) -> dict[str, str]:
        """Rewrite the block and insert the copies that every candidate has.

        Args:
            sch: A schedule in which the block and its neighbours are not scheduled yet.

        Returns:
            Role to block name: ``a`` and ``b`` (fetches), ``a.fragment``, ``b.fragment``, ``sums``
            (fragments to shared memory), ``out`` (shared memory to the result), and ``crop`` where a further
            block cuts the padding off.

        Raises:
            tvm.s_tir.ScheduleError: If a primitive refuses.
        """
        block = sch.get_sblock(self.block)
        self._reindex(sch, block)
        names: dict[str, str] = {}
        makers = self._join_makers(sch, block)
        end = self._join_epilogue(sch, block)
        out = sch.cache_write(block, 0, SHARED)
        sums = sch.cache_write(block, 0, self.types.scopes[2])
        if self.crops:
            names["crop"] = _name(sch, end)
        else:
            sch.reverse_compute_inline(end)
        fetches = [sch.cache_read(block, position, SHARED) for position in self.factors]
        for maker in makers:
            sch.compute_inline(maker)
        fragments = [
            sch.cache_read(block, position, scope)
            for position, scope in zip(self.factors, self.types.scopes[:2], strict=True)
        ]
        found = (*fetches, *fragments, sums, out)
        names |= {
            role: _name(sch, rv)
            for role, rv in zip(("a", "b", "a.fragment", "b.fragment", "sums", "out"), found, strict=True)
        }
        return names

    def _reindex(self, sch: Schedule, block: Any) -> None:
        """Index everything by the fused groups."""
        first, second = self.factors
        for access in (("read", first), ("read", second), ("write", 0)):
            sch.reindex(block, access)
        other = (self.columns, self.terms) if self.is_transposed else (self.terms, self.columns)
        self._lay_out(sch, block, ("read", first), (self.rows, self.terms))
        self._lay_out(sch, block, ("read", second), other)
        self._lay_out(sch, block, ("write", 0), (self.rows, self.columns))
        groups = (self.rows, self.columns, self.terms)
        sch.transform_block_layout(block, self._map(range(len(self.extents)), groups, block, sch))
        edges = (EDGE, EDGE, self.types.terms)
        if any(prod(self.extents[p] for p in g) % edge for g, edge in zip(groups, edges, strict=True)):
            sch.pad_einsum(block, [1] * len(self.outer) + list(edges))

    def _lay_out(
        self, sch: Schedule, block: Any, access: tuple[str, int], groups: Sequence[Sequence[int]]
    ) -> None:
        made = sch.get(block)
        region = (made.reads if access[0] == "read" else made.writes)[access[1]].region
        variables = [iterator.var for iterator in made.iter_vars]
        # Iterators of one step may have left the index with the padding or the stride that they served.
        used = [next(p for p, v in enumerate(variables) if v.same_as(range_.min)) for range_ in region]
        sch.transform_layout(block, access, self._map(used, groups, block, sch))

    def _map(self, used: Sequence[int], groups: Sequence[Sequence[int]], block: Any, sch: Schedule) -> Any:
        """Map iterators to the batch ones followed by one index for each group."""
        positions = list(used)
        dtype = str(sch.get(block).iter_vars[0].var.ty)

        def fused(*index: Any) -> list[Any]:
            by_position = dict(zip(positions, index, strict=True))
            zero = tirx.IntImm(dtype, 0)
            found = [by_position.get(p, zero) for p in self.outer]
            for group in groups:
                value: Any = zero
                for p in group:
                    value = value * self.extents[p] + by_position.get(p, zero)
                found.append(value)
            return found

        return tirx.IndexMap.from_func(fused, ndim=len(positions), index_dtype=dtype)

    def _join_makers(self, sch: Schedule, block: Any) -> list[Any]:
        """Leave one block before each factor."""
        last = list(sch.get_producers(block))
        for maker in last:
            while True:
                inner = [
                    p
                    for p in sch.get_producers(maker)
                    if _name(sch, p) in self.makers or "_reindex" in _name(sch, p)
                ]
                if not inner:
                    break
                for producer in inner:
                    sch.compute_inline(producer)
        return last

    def _join_epilogue(self, sch: Schedule, block: Any) -> Any:
        """Leave one block after the product."""
        end = sch.get_consumers(block)[0]
        while True:
            following = list(sch.get_consumers(end))
            own = "_reindex" in _name(sch, following[0]) if following else False
            if not following or not (own or _name(sch, following[0]) == self.epilogue):
                return end
            sch.compute_inline(end)
            end = following[0]


def _name(sch: Schedule, block: Any) -> str:
    return str(sch.get(block).name_hint)


def form_of(
    mapping: Mapping,
    name: str,
    types: FragmentTypes | MmaTypes,
    reads: Sequence[str],
    makers: Sequence[str],
    epilogue: str | None,
) -> TensorForm | None:
    """Describe a block by the mapping of its iterators; None where it is no product of matrices.

    Args:
        mapping: The block's iterators by the fragment's.
        name: The block's name.
        types: Element types.
        reads: Names of the buffers that the block reads, in the order of its read regions.
        makers: Blocks that may be computed while a factor is fetched.
        epilogue: The element-wise block that ends the tile, or None.
    """
    iterators = list(mapping.pattern.iterators)

    def positions(group: Sequence[Any]) -> tuple[int, ...]:
        return tuple(next(p for p, i in enumerate(iterators) if i is own) for own in group)

    rows, columns, terms = (positions(group) for group in mapping.groups)
    outer = positions(mapping.outer)
    first, second = mapping.operand(0), mapping.operand(1)
    if any(iterators[p].is_reduction for p in outer) or first.buffer.same_as(second.buffer):
        return None
    factors = (reads.index(str(first.buffer.name)), reads.index(str(second.buffer.name)))
    last = second.indices[-1]
    is_transposed = not any(occurs(iterators[p].var, last) for p in columns)
    return TensorForm(
        name,
        types,
        tuple(i.extent for i in iterators),
        outer,
        rows,
        columns,
        terms,
        factors,
        is_transposed,
        tuple(makers),
        epilogue,
    )
