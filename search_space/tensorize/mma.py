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

_ROUND = """
__forceinline__ __device__ float tirtune_tf32(float x) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return __uint_as_float(rounded);
}
"""

_DESCRIBED_LOAD = """
@T.prim_func(s_tir=True)
def description(a: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (high, wide), dtype, align=64, offset_factor=wide, scope="shared.dyn")
    C = T.match_buffer(c, (32, held), dtype, align=64, offset_factor=held, scope="warp")
    with T.sblock("root"):
        T.reads(A[0:high, 0:wide])
        T.writes(C[0:32, 0:held])
        for i, j in T.grid(high, wide):
            with T.sblock("copy"):
                vi, vj = T.axis.remap("SS", [i, j])
                T.reads(A[vi, vj])
                lane, element = T.meta_var(place(vi, vj))
                T.writes(C[lane, element])
                C[lane, element] = A[vi, vj]
"""

_LOAD = """
@T.prim_func(s_tir=True)
def implementation(a: T.handle, c: T.handle) -> None:
    a1 = T.int32()
    a0 = T.int32()
    A = T.match_buffer(
        a, (high, wide), dtype, align=64, offset_factor=wide, scope="shared.dyn", strides=[a1, a0]
    )
    C = T.match_buffer(c, (32, held), dtype, align=64, offset_factor=held, scope="warp")
    with T.sblock("root"):
        T.reads(A[0:high, 0:wide])
        T.writes(C[0:32, 0:held])
        for lane in T.thread_binding(0, 32, "threadIdx.x"):
"""

_LOAD_MATRIX = """
            T.evaluate(
                T.ptx_legacy.ldmatrix(
                    crosses, 4, ".b16", C.data, C.elem_offset + held * lane, A.access_ptr("r"),
                    start(lane)[0] * a1 + start(lane)[1], dtype=dtype
                )
            )
"""

_LOAD_EACH = """
            for element in T.unroll(held):
                row, column = T.meta_var(at(lane, element))
                C[lane, element] = A[row, column]
"""

_ROUND_EACH = """
            for element in T.unroll(held):
                C[lane, element] = T.cuda.func_call(
                    "tirtune_tf32", C[lane, element], source_code=rounding, return_type="float32"
                )
"""

_DESCRIBED_STORE = """
@T.prim_func(s_tir=True)
def description(c: T.handle, s: T.handle) -> None:
    C = T.match_buffer(c, (32, 8), result, align=64, offset_factor=8, scope="warp")
    S = T.match_buffer(s, (16, 16), result, align=64, offset_factor=16, scope="shared.dyn")
    with T.sblock("root"):
        T.reads(C[0:32, 0:8])
        T.writes(S[0:16, 0:16])
        for i, j in T.grid(16, 16):
            with T.sblock("copy"):
                vi, vj = T.axis.remap("SS", [i, j])
                lane, element = T.meta_var(place(vi, vj))
                T.reads(C[lane, element])
                T.writes(S[vi, vj])
                S[vi, vj] = C[lane, element]
"""

_STORE = """
@T.prim_func(s_tir=True)
def implementation(c: T.handle, s: T.handle) -> None:
    s1 = T.int32()
    s0 = T.int32()
    C = T.match_buffer(c, (32, 8), result, align=64, offset_factor=8, scope="warp")
    S = T.match_buffer(
        s, (16, 16), result, align=64, offset_factor=16, scope="shared.dyn", strides=[s1, s0]
    )
    with T.sblock("root"):
        T.reads(C[0:32, 0:8])
        T.writes(S[0:16, 0:16])
        for lane in T.thread_binding(0, 32, "threadIdx.x"):
            for pair in T.unroll(4):
                for side in T.vectorized(2):
                    row, column = T.meta_var(at(lane, pair * 2))
                    S[row, column + side] = C[lane, pair * 2 + side]
"""

_DESCRIBED_FILL = """
@T.prim_func(s_tir=True)
def description(c: T.handle) -> None:
    C = T.match_buffer(c, (32, 8), result, align=64, offset_factor=8, scope="warp")
    with T.sblock("root"):
        T.reads()
        T.writes(C[0:32, 0:8])
        for i, j in T.grid(16, 16):
            with T.sblock("fill"):
                vi, vj = T.axis.remap("SS", [i, j])
                lane, element = T.meta_var(place(vi, vj))
                T.reads()
                T.writes(C[lane, element])
                C[lane, element] = zero
"""

_FILL = """
@T.prim_func(s_tir=True)
def implementation(c: T.handle) -> None:
    C = T.match_buffer(c, (32, 8), result, align=64, offset_factor=8, scope="warp")
    with T.sblock("root"):
        T.reads()
        T.writes(C[0:32, 0:8])
        for lane in T.thread_binding(0, 32, "threadIdx.x"):
            for element in T.unroll(8):
                C[lane, element] = zero
"""

_DESCRIBED_PRODUCT = """
@T.prim_func(s_tir=True)
def description(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (32, held), dtype, align=64, offset_factor=held, scope="warp")
    B = T.match_buffer(b, (32, held), dtype, align=64, offset_factor=held, scope="warp")
    C = T.match_buffer(c, (32, 8), result, align=64, offset_factor=8, scope="warp")
    with T.sblock("root"):
        T.reads(C[0:32, 0:8], A[0:32, 0:held], B[0:32, 0:held])
        T.writes(C[0:32, 0:8])
        for i, j, k in T.grid(16, 16, terms):
            with T.sblock("product"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                la, ea = T.meta_var(place_a(vi, vk))
                lb, eb = T.meta_var(place_b(vj, vk))
                lc, ec = T.meta_var(place(vi, vj))
                T.reads(C[lc, ec], A[la, ea], B[lb, eb])
                T.writes(C[lc, ec])
                C[lc, ec] = C[lc, ec] + cast(A[la, ea]) * cast(B[lb, eb])
"""

_PRODUCT = """
@T.prim_func(s_tir=True)
def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (32, held), dtype, align=64, offset_factor=held, scope="warp")
    B = T.match_buffer(b, (32, held), dtype, align=64, offset_factor=held, scope="warp")
    C = T.match_buffer(c, (32, 8), result, align=64, offset_factor=8, scope="warp")
    with T.sblock("root"):
        T.reads(C[0:32, 0:8], A[0:32, 0:held], B[0:32, 0:held])
        T.writes(C[0:32, 0:8])
        for lane in T.thread_binding(0, 32, "threadIdx.x"):
            T.evaluate(
                T.ptx_legacy.mma(
                    shape, "row", "col", factor, factor, total,
                    A.data, A.elem_offset + lane * held,
                    B.data, B.elem_offset + lane * held,
                    C.data, C.elem_offset + lane * 8, False, dtype=result
                )
            )
            T.evaluate(
                T.ptx_legacy.mma(
                    shape, "row", "col", factor, factor, total,
                    A.data, A.elem_offset + lane * held,
                    B.data, B.elem_offset + lane * held + held // 2,
                    C.data, C.elem_offset + lane * 8 + 4, False, dtype=result
                )
            )
"""


_PLAIN = {
    "fill": (_DESCRIBED_FILL, _FILL),
    "store": (_DESCRIBED_STORE, _STORE),
    "product": (_DESCRIBED_PRODUCT, _PRODUCT),
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
        texts, values = _load(types, words[0][5], words[0].endswith("_transposed"))
    else:
        texts, values = _PLAIN[words[0]], _values(types)
    description, implementation = (parse_script(text, **values) for text in texts)
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

    rounded = _ROUND_EACH if types.operand == "float32" else ""
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
        "rounding": _ROUND,
    }
    return (_DESCRIBED_LOAD, _LOAD + (_LOAD_MATRIX if one_instruction else _LOAD_EACH) + rounded), values


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
