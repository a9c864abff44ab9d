"""Warp-level matrix instructions (``mma.sync``, ``ldmatrix``) as tensor intrinsics, from sm_80 on.

A warp keeps fragments in registers: buffers of the scope ``warp`` whose last two dimensions are the lane and
the element of the lane, placed as the instruction wants them (``fragments.py``). ``ldmatrix`` fills four
registers of every lane by one instruction: wherever terms lie together in memory, and of 16-bit types also
where they do not; elsewhere every lane reads its own elements. float32 is rounded to TF32 when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from search_space.tensorize import mma_texts as texts
from search_space.tensorize.fragments import (
    EDGE,
    LANES,
    Place,
    column_at,
    place_columns,
    place_rows,
    place_sums,
    row_at,
    sum_at,
    swapped,
)
from search_space.tensorize.intrinsic import Intrinsic
from search_space.tvm_api import parse_script, tirx, tvm

_PREFIX = "tirtune.mma"
_WORD_BYTES = 4
_BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "int8": 1}
_FACTOR = {"float16": "fp16", "bfloat16": "bf16", "float32": "tf32", "int8": "int8"}
_SUM = {"float16": "fp16", "float32": "fp32", "int32": "int32"}
"""What TVM's code generator calls the types."""

_PLAIN = {
    "fill": (texts.DESCRIBED_FILL, texts.FILL),
    "store": (texts.DESCRIBED_STORE, texts.STORE),
    "product": (texts.DESCRIBED_PRODUCT, texts.PRODUCT),
}


@dataclass(frozen=True, slots=True)
class MmaTypes:
    """Element types of the fragments.

    Attributes:
        operand: Type of both factors; float32 means TF32.
        result: Type of the sums.
    """

    operand: str
    result: str

    kind: ClassVar[str] = "mma"
    scopes: ClassVar[tuple[str, str, str]] = ("warp", "warp", "warp")
    capability: ClassVar[int] = 80

    @property
    def word(self) -> int:
        """Elements of a factor in one register."""
        return _WORD_BYTES // _BYTES[self.operand]

    @property
    def terms(self) -> int:
        """Terms that one fragment adds."""
        return 8 * self.word

    @property
    def tolerance_scale(self) -> float:
        """How much larger rounding errors are than the operands' type has: TF32 keeps 10 bits of 23."""
        return 2.0**13 if self.operand == "float32" else 1.0

    @property
    def swizzles(self) -> bool:
        """Whether rows of a stage can be permuted instead of padded: what TVM's pass does to 16-bit types."""
        return self.word == 2

    def load(self, factor: str, is_transposed: bool) -> str:
        """Name of the intrinsic that loads a factor (``a`` or ``b``) from dynamic shared memory."""
        return f"{_PREFIX}.load_{factor}{'_transposed' if is_transposed else ''}.{self.operand}.{self.result}"

    def product(self, is_transposed: bool) -> str:
        """Name of the intrinsic that multiplies two fragments and adds, however they lay in memory."""
        return f"{_PREFIX}.product.{self.operand}.{self.result}"

    @property
    def fill(self) -> str:
        """Name of the intrinsic that sets sums to zero."""
        return f"{_PREFIX}.fill.{self.operand}.{self.result}"

    @property
    def store(self) -> str:
        """Name of the intrinsic that stores sums to dynamic shared memory."""
        return f"{_PREFIX}.store.{self.operand}.{self.result}"

    def shape(self, role: str, is_transposed: bool) -> tuple[int, int]:
        """Return the extents of a fragment of ``a``, ``b`` or ``c`` (the sums), as it is indexed."""
        if role == "c":
            return EDGE, EDGE
        return (self.terms, EDGE) if role == "b" and not is_transposed else (EDGE, self.terms)

    def place(self, role: str, is_transposed: bool) -> Place:
        """Return where the elements of a fragment are, as it is indexed."""
        if role == "c":
            return place_sums
        if role == "a":
            return place_rows(self.word)
        return place_columns(self.word) if is_transposed else swapped(place_columns(self.word))

    def layout(self, role: str, is_transposed: bool) -> Callable[..., list[Any]]:
        """Return the index map of a buffer of fragments: row, column to fragment, lane, element."""
        high, wide = self.shape(role, is_transposed)
        place = self.place(role, is_transposed)

        def placed(*index: Any) -> list[Any]:
            *batch, row, column = index
            return [*batch, row // high, column // wide, *place(row % high, column % wide)]

        return placed


MMA_TYPES = (
    MmaTypes("float16", "float32"),
    MmaTypes("float16", "float16"),
    MmaTypes("bfloat16", "float32"),
    MmaTypes("float32", "float32"),
    MmaTypes("int8", "int32"),
)
"""Types that the instruction has and TVM's code generator knows."""


@cache
def ensure_mma(name: str) -> Intrinsic | None:
    """Register one of these intrinsics with TVM by name.

    Args:
        name: See :class:`MmaTypes`; the name says everything.

    Returns:
        The intrinsic for products, whose description says what the instruction computes; None for the others.

    Raises:
        KeyError: If it is no name of these.
    """
    words = name.removeprefix(f"{_PREFIX}.").split(".")
    types = MmaTypes(*words[1:]) if is_mma(name) and len(words) == 3 else None
    if types not in MMA_TYPES or words[0] not in ("load_a", "load_b", "load_b_transposed", *_PLAIN):
        raise KeyError(f"no intrinsic is named {name!r}")
    if words[0].startswith("load"):
        programs, values = _load(types, words[0][5], words[0].endswith("_transposed"))
    else:
        programs, values = _PLAIN[words[0]], _values(types)
    description, implementation = (parse_script(text, **values) for text in programs)
    tvm.s_tir.TensorIntrin.register(name, description, implementation)
    return Intrinsic(name, description, implementation) if words[0] == "product" else None


def _load(types: MmaTypes, factor: str, is_transposed: bool) -> tuple[tuple[str, str], dict[str, Any]]:
    """Return texts and values of a load: one instruction where it can do it, else one read an element."""
    word = types.word
    high, wide = types.shape(factor, is_transposed)
    along_terms = factor == "a" or is_transposed
    # Register 0 to 3 of ldmatrix are four pieces of 8 rows and 16 bytes; lane 8q + r gives the address of
    # row r of piece q.
    first, second = (1, 2) if factor == "a" else (2, 1)

    def start(lane: Any) -> tuple[Any, Any]:
        edge, term = lane // (8 * first) % 2 * 8, lane // (8 * second) % 2
        if along_terms:
            return lane % 8 + edge, term * (4 * word)
        return lane % 8 + term * 8, edge

    at = row_at(word) if factor == "a" else column_at(word)

    def indexed(lane: Any, element: Any) -> tuple[Any, Any]:
        found = at(lane, element)
        return found if along_terms else found[::-1]

    rounded = texts.ROUND_EACH if types.operand == "float32" else ""
    one_instruction = along_terms or word == 2
    values = {
        "high": high,
        "wide": wide,
        "held": high * wide // LANES,
        "dtype": types.operand,
        "place": types.place(factor, is_transposed),
        "start": start,
        "crosses": not along_terms,
        "at": indexed,
        "rounding": texts.ROUND,
    }
    body = texts.LOAD_MATRIX if one_instruction else texts.LOAD_EACH
    return (texts.DESCRIBED_LOAD, texts.LOAD + body + rounded), values


def _values(types: MmaTypes) -> dict[str, Any]:
    """Return what the texts of the other intrinsics use."""

    def cast(value: Any) -> Any:
        return value if types.operand == types.result else tirx.Cast(types.result, value)

    return {
        "dtype": types.operand,
        "result": types.result,
        "held": EDGE * types.terms // LANES,
        "terms": types.terms,
        "place_a": place_rows(types.word),
        "place_b": place_columns(types.word),
        "place": place_sums,
        "at": sum_at,
        "cast": cast,
        "zero": tirx.const(0, types.result),
        "shape": f"m16n8k{types.terms}",
        "factor": _FACTOR[types.operand],
        "total": _SUM[types.result],
    }


def is_mma(name: str) -> bool:
    """Report whether a name is one of these intrinsics'."""
    return name.startswith(f"{_PREFIX}.")
