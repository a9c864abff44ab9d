"""An intrinsic of one's own: sixteen sums of float32 products, in the LLVM code that a C compiler makes."""

from search_space.tensorize import Intrinsic
from search_space.tvm_api import parse_script

DESCRIPTION = """
@T.prim_func(s_tir=True)
def description(
    A: T.Buffer((2,), "float32", offset_factor=1),
    B: T.Buffer((16, 2), "float32", offset_factor=1),
    C: T.Buffer((16,), "float32", offset_factor=1),
) -> None:
    with T.sblock("root"):
        T.reads(C[0:16], A[0:2], B[0:16, 0:2])
        T.writes(C[0:16])
        for i in T.serial(0, 16):
            for k in T.serial(0, 2):
                with T.sblock("dot"):
                    vi, vk = T.axis.remap("SR", [i, k])
                    C[vi] = C[vi] + A[vk] * B[vi, vk]
"""

IMPLEMENTATION = """
@T.prim_func(s_tir=True)
def implementation(
    A: T.Buffer((2,), "float32", offset_factor=1),
    B: T.Buffer((16, 2), "float32", offset_factor=1),
    C: T.Buffer((16,), "float32", offset_factor=1),
) -> None:
    with T.sblock("root"):
        T.reads(C[0:16], A[0:2], B[0:16, 0:2])
        T.writes(C[0:16])
        C[T.ramp(T.int32(0), 1, 16)] = T.call_extern(
            "float32x16", "wide_dot", C.vload([0], "float32x16"), A.vload([0], "float32x2"),
            B.vload([0, 0], "float32x32")
        )
"""

EVEN = ", ".join(f"i32 {2 * lane}" for lane in range(16))
ODD = ", ".join(f"i32 {2 * lane + 1}" for lane in range(16))
LLVM = f"""
define <16 x float> @wide_dot(<16 x float> %sum, <2 x float> %a, <32 x float> %b) {{
  %a0 = shufflevector <2 x float> %a, <2 x float> poison, <16 x i32> zeroinitializer
  %a1 = shufflevector <2 x float> %a, <2 x float> poison, <16 x i32> splat (i32 1)
  %b0 = shufflevector <32 x float> %b, <32 x float> poison, <16 x i32> <{EVEN}>
  %b1 = shufflevector <32 x float> %b, <32 x float> poison, <16 x i32> <{ODD}>
  %p0 = fmul contract <16 x float> %a0, %b0
  %s0 = fadd contract <16 x float> %sum, %p0
  %p1 = fmul contract <16 x float> %a1, %b1
  %s1 = fadd contract <16 x float> %s0, %p1
  ret <16 x float> %s1
}}
"""

INTRINSICS = (
    Intrinsic("wide_dot", parse_script(DESCRIPTION), parse_script(IMPLEMENTATION), ("avx512f",), LLVM),
)
