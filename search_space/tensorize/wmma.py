"""Warp-level matrix instructions (wmma) as tensor intrinsics: load, multiply, fill and store fragments.

TVM ships the same in ``tvm.s_tir.tensor_intrin``, but importing that parses the intrinsics of every
target, which takes seconds in each process; here each one is parsed when a sketch or a trace names it.
(CUDA C++ Programming Guide, "Warp Matrix Functions"; the calls are TVM's ``tvm_load_matrix_sync`` and so on.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from search_space.tensorize.intrinsic import Intrinsic
from search_space.tvm_api import parse_script, tvm

EDGE = 16
"""Rows, columns and terms of one fragment."""

_PREFIX = "tirtune.wmma"

_DESCRIBED_COPY = """
@T.prim_func(s_tir=True)
def description(a: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (16, 16), "{dtype}", align=64, offset_factor=16, scope="{source}")
    C = T.match_buffer(c, (16, 16), "{dtype}", align=64, offset_factor=16, scope="{goal}")
    with T.sblock("root"):
        T.reads(A[0:16, 0:16])
        T.writes(C[0:16, 0:16])
        for i, j in T.grid(16, 16):
            with T.sblock("copy"):
                vi, vj = T.axis.remap("SS", [i, j])
                C[vi, vj] = A[vi, vj]
"""

_COPY = """
@T.prim_func(s_tir=True)
def implementation(a: T.handle, c: T.handle) -> None:
    a1 = T.int32()
    a0 = T.int32()
    c1 = T.int32()
    c0 = T.int32()
    A = T.match_buffer(a, (16, 16), "{dtype}", align=64, offset_factor=16, scope="{source}", strides=[a1, a0])
    C = T.match_buffer(c, (16, 16), "{dtype}", align=64, offset_factor=16, scope="{goal}", strides=[c1, c0])
    with T.sblock("root"):
        T.reads(A[0:16, 0:16])
        T.writes(C[0:16, 0:16])
        T.evaluate({call})
"""

_LOAD = (
    "T.tvm_load_matrix_sync(C.data, 16, 16, 16, {c}, "
    'A.access_ptr("r", ptr_type="{dtype}"), a1, "{layout}", dtype="void")'
)
_STORE = (
    "T.tvm_store_matrix_sync(A.data, 16, 16, 16, {a}, "
    'C.access_ptr("w", ptr_type="{dtype}"), c1, "row_major", dtype="void")'
)

_DESCRIBED_FILL = """
@T.prim_func(s_tir=True)
def description(c: T.handle) -> None:
    C = T.match_buffer(c, (16, 16), "{dtype}", align=64, offset_factor=16, scope="wmma.accumulator")
    with T.sblock("root"):
        T.reads()
        T.writes(C[0:16, 0:16])
        for i, j in T.grid(16, 16):
            with T.sblock("fill"):
                vi, vj = T.axis.remap("SS", [i, j])
                C[vi, vj] = {zero}
"""

_FILL = """
@T.prim_func(s_tir=True)
def implementation(c: T.handle) -> None:
    c1 = T.int32()
    c0 = T.int32()
    C = T.match_buffer(
        c, (16, 16), "{dtype}", align=64, offset_factor=16, scope="wmma.accumulator", strides=[c1, c0]
    )
    with T.sblock("root"):
        T.reads()
        T.writes(C[0:16, 0:16])
        T.evaluate(T.tvm_fill_fragment(C.data, 16, 16, 16, {c}, T.float32(0), dtype="void"))
"""

_DESCRIBED_PRODUCT = """
@T.prim_func(s_tir=True)
def description(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (16, 16), "{dtype}", align=64, offset_factor=16, scope="wmma.matrix_a")
    B = T.match_buffer(b, (16, 16), "{dtype}", align=64, offset_factor=16, scope="wmma.matrix_b")
    C = T.match_buffer(c, (16, 16), "{result}", align=64, offset_factor=16, scope="wmma.accumulator")
    with T.sblock("root"):
        T.reads(C[0:16, 0:16], A[0:16, 0:16], B[0:16, 0:16])
        T.writes(C[0:16, 0:16])
        for i, j, k in T.grid(16, 16, 16):
            with T.sblock("product"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                C[vi, vj] = C[vi, vj] + {left} * {right}
"""

_PRODUCT = """
@T.prim_func(s_tir=True)
def implementation(a: T.handle, b: T.handle, c: T.handle) -> None:
    a1 = T.int32()
    a0 = T.int32()
    b1 = T.int32()
    b0 = T.int32()
    c1 = T.int32()
    c0 = T.int32()
    A = T.match_buffer(
        a, (16, 16), "{dtype}", align=64, offset_factor=16, scope="wmma.matrix_a", strides=[a1, a0]
    )
    B = T.match_buffer(
        b, (16, 16), "{dtype}", align=64, offset_factor=16, scope="wmma.matrix_b", strides=[b1, b0]
    )
    C = T.match_buffer(
        c, (16, 16), "{result}", align=64, offset_factor=16, scope="wmma.accumulator", strides=[c1, c0]
    )
    with T.sblock("root"):
        T.reads(C[0:16, 0:16], A[0:16, 0:16], B[0:16, 0:16])
        T.writes(C[0:16, 0:16])
        T.evaluate(T.tvm_mma_sync(C.data, {c}, A.data, {a}, B.data, {b}, C.data, {c}, dtype="void"))
"""


def _fragment(name: str) -> str:
    """Number the fragment of a buffer by its offset: fragments of a register array are in row-major order."""
    pitch = f"{name.lower()}1"
    return f"({name}.elem_offset // {pitch} // 16 * ({pitch} // 16) + {name}.elem_offset % {pitch} // 16)"


@dataclass(frozen=True, slots=True)
class FragmentTypes:
    """Element types of the fragments.

    Attributes:
        operand: Type of both factors.
        result: Type of the sums.
        capability: Least compute capability, times ten.
    """

    operand: str
    result: str
    capability: int

    kind: ClassVar[str] = "wmma"
    scopes: ClassVar[tuple[str, str, str]] = ("wmma.matrix_a", "wmma.matrix_b", "wmma.accumulator")
    terms: ClassVar[int] = EDGE
    tolerance_scale: ClassVar[float] = 1.0
    swizzles: ClassVar[bool] = False

    def shape(self, role: str, is_transposed: bool) -> tuple[int, int]:
        """Return the extents of a fragment of ``a``, ``b`` or ``c`` (the sums), as it is indexed."""
        return EDGE, EDGE

    def layout(self, role: str, is_transposed: bool) -> None:
        """Return None: the compiler places the elements of these fragments."""
        return

    def load(self, factor: str, is_transposed: bool) -> str:
        """Name of the intrinsic that loads a factor (``a`` or ``b``) from dynamic shared memory."""
        return f"{_PREFIX}.load.{factor}.{'col_major' if is_transposed else 'row_major'}.{self.operand}"

    def product(self, is_transposed: bool) -> str:
        """Name of the intrinsic that multiplies two fragments and adds."""
        layout = "col_major" if is_transposed else "row_major"
        return f"{_PREFIX}.product.{layout}.{self.operand}.{self.result}"

    @property
    def fill(self) -> str:
        """Name of the intrinsic that sets sums to zero."""
        return f"{_PREFIX}.fill.{self.result}"

    @property
    def store(self) -> str:
        """Name of the intrinsic that stores sums to dynamic shared memory."""
        return f"{_PREFIX}.store.{self.result}"


FRAGMENT_TYPES = (
    FragmentTypes("float16", "float32", 70),
    FragmentTypes("float16", "float16", 70),
    FragmentTypes("bfloat16", "float32", 80),
    FragmentTypes("int8", "int32", 75),
)
"""Types that TVM's CUDA code generator has fragments of 16 x 16 x 16 for."""


@cache
def ensure_fragment(name: str) -> Intrinsic | None:
    """Register one of these intrinsics with TVM by name.

    Args:
        name: See :class:`FragmentTypes`; the name says everything.

    Returns:
        The intrinsic for products, which blocks are matched with; None for the others.

    Raises:
        KeyError: If it is no name of these.
    """
    words = name.removeprefix(f"{_PREFIX}.").split(".")
    kind = words[0] if name.startswith(_PREFIX) else ""
    if kind == "load":
        _, factor, layout, dtype = words
        call = _LOAD.format(c=_fragment("C"), dtype=dtype, layout=layout)
        places = {"dtype": dtype, "source": "shared.dyn", "goal": f"wmma.matrix_{factor}"}
        texts = (_DESCRIBED_COPY.format(**places), _COPY.format(call=call, **places))
    elif kind == "store":
        dtype = words[1]
        call = _STORE.format(a=_fragment("A"), dtype=dtype)
        places = {"dtype": dtype, "source": "wmma.accumulator", "goal": "shared.dyn"}
        texts = (_DESCRIBED_COPY.format(**places), _COPY.format(call=call, **places))
    elif kind == "fill":
        dtype = words[1]
        zero = f"T.{dtype}(0)"
        texts = (
            _DESCRIBED_FILL.format(dtype=dtype, zero=zero),
            _FILL.format(dtype=dtype, c=_fragment("C")),
        )
    elif kind == "product":
        _, layout, dtype, result = words
        sides = ("A[vi, vk]", "B[vj, vk]" if layout == "col_major" else "B[vk, vj]")
        left, right = (side if dtype == result else f'T.cast({side}, "{result}")' for side in sides)
        places = {"dtype": dtype, "result": result}
        texts = (
            _DESCRIBED_PRODUCT.format(left=left, right=right, **places),
            _PRODUCT.format(a=_fragment("A"), b=_fragment("B"), c=_fragment("C"), **places),
        )
    else:
        raise KeyError(f"no intrinsic is named {name!r}")
    description, implementation = (parse_script(text) for text in texts)
    tvm.s_tir.TensorIntrin.register(name, description, implementation)
    return Intrinsic(name, description, implementation) if kind == "product" else None


def is_fragment(name: str) -> bool:
    """Report whether a name is one of these intrinsics'."""
    return name.startswith(f"{_PREFIX}.")
