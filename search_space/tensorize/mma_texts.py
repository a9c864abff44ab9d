"""Descriptions and implementations of the intrinsics of ``mma.py``, as TVMScript with names to fill in.

``place`` and the like are functions from row and column to lane and element, ``at`` and ``start`` the other
way round (``fragments.py``); ``held`` is the elements of a lane.
"""

ROUND = """
__forceinline__ __device__ float tirtune_tf32(float x) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return __uint_as_float(rounded);
}
"""

DESCRIBED_LOAD = """
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

LOAD = """
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

LOAD_MATRIX = """
            T.evaluate(
                T.ptx_legacy.ldmatrix(
                    crosses, 4, ".b16", C.data, C.elem_offset + held * lane, A.access_ptr("r"),
                    start(lane)[0] * a1 + start(lane)[1], dtype=dtype
                )
            )
"""

LOAD_EACH = """
            for element in T.unroll(held):
                row, column = T.meta_var(at(lane, element))
                C[lane, element] = A[row, column]
"""

ROUND_EACH = """
            for element in T.unroll(held):
                C[lane, element] = T.cuda.func_call(
                    "tirtune_tf32", C[lane, element], source_code=rounding, return_type="float32"
                )
"""

DESCRIBED_STORE = """
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

STORE = """
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

DESCRIBED_FILL = """
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

FILL = """
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

DESCRIBED_PRODUCT = """
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

PRODUCT = """
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
