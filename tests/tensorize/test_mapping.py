"""Blocks and intrinsics meet by access pattern: which iterators are mapped, which stay outside."""

import pytest

from search_space.tensorize import available, intrinsic_named, matches, register_intrinsic
from search_space.tensorize.intrinsic import Intrinsic
from search_space.tensorize.pattern import pattern_of_block
from search_space.tensorize.x86 import x86_intrinsics
from search_space.tvm_api import IRModule, Schedule, parse_script
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

BY_NAME = {entry[0]: Intrinsic(*entry) for entry in x86_intrinsics()}

MATRIX_TILE = """
@T.prim_func(s_tir=True)
def description(
    A: T.Buffer((16, 16), "float16"), B: T.Buffer((16, 16), "float16"), C: T.Buffer((16, 16), "float32")
) -> None:
    with T.sblock("root"):
        for i, j, k in T.grid(16, 16, 16):
            with T.sblock("tile"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                C[vi, vj] = C[vi, vj] + T.cast(A[vi, vk], "float32") * T.cast(B[vk, vj], "float32")
"""


def pattern(spec: str):
    """Describe the reduction of a named workload."""
    module = IRModule({"main": named_workload(spec).func.with_attr("global_symbol", "main")})
    sch = Schedule(module)
    blocks = [sch.get(b) for b in sch.get_child_blocks(sch.get_sblock("root"))]
    found = [p for p in map(pattern_of_block, blocks) if p is not None]
    assert len(found) == 1
    return found[0]


def names(iterators) -> list[str]:
    return [str(i.var.name).removeprefix("v_") for i in iterators]


def mapped(intrinsic: Intrinsic, spec: str) -> list[tuple[list[list[str]], list[str]]]:
    found = matches(intrinsic, pattern(spec))
    return [([names(g) for g in m.groups], names(m.outer)) for m in found]


def test_a_product_maps_columns_and_reduction() -> None:
    assert mapped(BY_NAME["vnni_u8s8"], "gmm:2,32,48,64,dtype=int8") == [([["j"], ["k"]], ["b", "i"])]


def test_the_other_operand_order_maps_rows() -> None:
    assert mapped(BY_NAME["vnni_s8u8"], "gmm:2,32,48,64,dtype=int8") == [([["i"], ["k"]], ["b", "j"])]


def test_equal_types_map_either_way() -> None:
    assert mapped(BY_NAME["bf16"], "mm:32,48,64,dtype=bfloat16") == [
        ([["j"], ["k"]], ["i"]),
        ([["i"], ["k"]], ["j"]),
    ]


def test_a_convolution_is_an_implicit_product() -> None:
    (found,) = matches(BY_NAME["vnni_u8s8"], pattern("c2d:1,14,14,6,30,3,1,1,dtype=int8"))
    assert [names(g) for g in found.groups] == [["i2"], ["kh", "kw", "ci"]]


def test_a_matrix_tile_fuses_the_positions_of_a_convolution() -> None:
    text = parse_script(MATRIX_TILE)
    found, transposed = matches(Intrinsic("tile", text, text), pattern("c2d:2,7,7,8,24,3,1,1,dtype=float16"))
    assert names(transposed.groups[0]) == ["i2"]
    assert [names(g) for g in found.groups] == [["n", "i0", "i1"], ["i2"], ["kh", "kw", "ci"]]
    assert found.outer == ()


@pytest.mark.parametrize(
    "spec",
    ["gmm:1,32,48,64", "gmm:1,32,48,64,dtype=bfloat16", "dep:1,14,14,32,3,1,1,dtype=int8"],
)
def test_other_types_and_patterns_do_not_match(spec: str) -> None:
    assert mapped(BY_NAME["vnni_u8s8"], spec) == []


def test_only_what_the_target_has_is_available() -> None:
    types = ("int8", "uint8", "bfloat16", "int32", "float32")
    both = {i.name for i in available(("avx512f", "avx512vnni", "avx512bf16"), types)}
    assert {"vnni_u8s8", "vnni_s8u8", "bf16"} <= both
    assert not {i.name for i in available(("avx512f",), types)} & {"vnni_u8s8", "vnni_s8u8", "bf16"}
    assert not {i.name for i in available(("avx512f", "avx512vnni"), ("int8", "int32"))} & both


def test_a_taken_name_is_refused() -> None:
    name, description, implementation, features, llvm = next(e for e in x86_intrinsics() if e[0] == "bf16")
    with pytest.raises(ValueError, match="registered already"):
        register_intrinsic(name, description, implementation, (*features, "amx-bf16"), llvm)


def test_registering_the_same_again_changes_nothing() -> None:
    entry = next(e for e in x86_intrinsics() if e[0] == "bf16")
    assert register_intrinsic(*entry) is intrinsic_named("bf16")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match="vnni_u8s8"):
        intrinsic_named("nothing")


def test_a_description_must_add_products() -> None:
    text = parse_script(
        """
@T.prim_func(s_tir=True)
def description(A: T.Buffer((16,), "float32"), C: T.Buffer((16,), "float32")) -> None:
    with T.sblock("root"):
        for i in T.serial(0, 16):
            with T.sblock("copy"):
                vi = T.axis.remap("S", [i])
                C[vi] = A[vi]
"""
    )
    with pytest.raises(ValueError, match="one block"):
        Intrinsic("copy", text, text)
