"""Dot products of AVX-512: int8 (VNNI) and bfloat16.

Both add the products of a group of neighbouring elements to each of 16 lanes; one operand is a group
that all lanes share, the other has a group for each lane::

    for i in 16, k in G:  C[i] += A[k] * B[i, k]

Descriptions follow the instruction's arithmetic exactly: ``vpdpbusd`` multiplies unsigned by signed
bytes, so there is one intrinsic for either operand being the unsigned one, and no saturation.
(Intel, *Intrinsics Guide*: ``_mm512_dpbusd_epi32``, ``_mm512_dpbf16_ps``.)
"""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import parse_script

LANES = 16
"""32-bit lanes of a 512-bit register."""

OPERAND_TYPES = frozenset(("int8", "uint8", "bfloat16"))
"""Element types of the operands of all of them."""

_DESCRIPTION = """
@T.prim_func(s_tir=True)
def description(
    A: T.Buffer(({group},), "{shared}", offset_factor=1),
    B: T.Buffer(({lanes}, {group}), "{own}", offset_factor=1),
    C: T.Buffer(({lanes},), "{sum}", offset_factor=1),
) -> None:
    with T.sblock("root"):
        T.reads(C[0:{lanes}], A[0:{group}], B[0:{lanes}, 0:{group}])
        T.writes(C[0:{lanes}])
        for i in T.serial(0, {lanes}):
            for k in T.serial(0, {group}):
                with T.sblock("dot"):
                    vi, vk = T.axis.remap("SR", [i, k])
                    C[vi] = C[vi] + T.cast(A[vk], "{sum}") * T.cast(B[vi, vk], "{sum}")
"""

_IMPLEMENTATION = """
@T.prim_func(s_tir=True)
def implementation(
    A: T.Buffer(({group},), "{shared}", offset_factor=1),
    B: T.Buffer(({lanes}, {group}), "{own}", offset_factor=1),
    C: T.Buffer(({lanes},), "{sum}", offset_factor=1),
) -> None:
    with T.sblock("root"):
        T.reads(C[0:{lanes}], A[0:{group}], B[0:{lanes}, 0:{group}])
        T.writes(C[0:{lanes}])
        C[T.ramp(T.int32(0), 1, {lanes})] = {call}
"""

_SUMS = 'C.vload([0], "{sum}x{lanes}")'
_SHARED = 'T.broadcast(T.reinterpret(A.vload([0], "{shared}x{group}"), dtype="int32"), {lanes})'
_OWN = 'B.vload([0, 0], "{own}x{elements}")'

_VNNI = (
    'T.call_llvm_pure_intrin(T.llvm_lookup_intrinsic_id("llvm.x86.avx512.vpdpbusd.512"),'
    f' {_SUMS}, {{unsigned}}, {{signed}}, dtype="int32x16")'
)
_SHARED_BYTES = f'T.reinterpret({_SHARED}, dtype="{{shared}}x{{elements}}")'

# TVM turns bfloat16 values into float32 before code generation, and the instruction's operands with
# them; bits in integers pass through.
_OWN_BITS = f'T.reinterpret({_OWN}, dtype="int32x16")'
_BF16 = f'T.call_extern("float32x16", "tirtune_dpbf16ps", {_SUMS}, {_SHARED}, {_OWN_BITS})'
_BF16_LLVM = """
define <16 x float> @tirtune_dpbf16ps(<16 x float> %sum, <16 x i32> %a, <16 x i32> %b) {
  %x = bitcast <16 x i32> %a to <32 x bfloat>
  %y = bitcast <16 x i32> %b to <32 x bfloat>
  %r = call <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(
    <16 x float> %sum, <32 x bfloat> %x, <32 x bfloat> %y)
  ret <16 x float> %r
}
declare <16 x float> @llvm.x86.avx512bf16.dpbf16ps.512(<16 x float>, <32 x bfloat>, <32 x bfloat>)
"""


def _dot(call: str, shared: str, own: str, total: str, group: int) -> tuple[Any, Any]:
    words: dict[str, Any] = {
        "shared": shared,
        "own": own,
        "sum": total,
        "group": group,
        "lanes": LANES,
        "elements": LANES * group,
    }
    filled = call.format(**words)
    return (
        parse_script(_DESCRIPTION.format(**words)),
        parse_script(_IMPLEMENTATION.format(call=filled, **words)),
    )


def x86_intrinsics() -> tuple[tuple[str, Any, Any, tuple[str, ...], str], ...]:
    """Return name, description, implementation, features and LLVM code of each."""
    unsigned_shared = _VNNI.replace("{unsigned}", _SHARED_BYTES).replace("{signed}", _OWN)
    unsigned_own = _VNNI.replace("{unsigned}", _OWN).replace("{signed}", _SHARED_BYTES)
    vnni, bf16 = ("avx512f", "avx512vnni"), ("avx512f", "avx512bf16")
    return (
        ("vnni_u8s8", *_dot(unsigned_shared, "uint8", "int8", "int32", 4), vnni, ""),
        ("vnni_s8u8", *_dot(unsigned_own, "int8", "uint8", "int32", 4), vnni, ""),
        ("bf16", *_dot(_BF16, "bfloat16", "bfloat16", "float32", 2), bf16, _BF16_LLVM),
    )
