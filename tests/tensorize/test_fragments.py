"""Where the elements of fragments are, and that loading them has no bank conflicts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from search_space.candidate import materialize, sketch_plan
from search_space.decisions import Columns
from search_space.gpu.tensor.tiling import PADDED, STRAIGHT, SWIZZLED
from search_space.kinds import space_of
from search_space.tensorize.fragments import (
    EDGE,
    LANES,
    column_at,
    place_columns,
    place_rows,
    place_sums,
    row_at,
    sum_at,
)
from search_space.tensorize.mma import MMA_TYPES, ensure_mma
from search_space.tvm_api import tvm, walk_types
from tests.gpu.programs import gpu_context
from tuner.measure.lowering import gpu_pipeline

WORDS = (1, 2, 4)


@pytest.mark.pure
@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("place", "at"), [(place_rows, row_at), (place_columns, column_at)])
def test_every_element_of_a_factor_has_one_place(place: Any, at: Any, word: int) -> None:
    terms = 8 * word
    places = {place(word)(edge, term): (edge, term) for edge in range(EDGE) for term in range(terms)}
    assert set(places) == {(lane, e) for lane in range(LANES) for e in range(EDGE * terms // LANES)}
    assert all(at(word)(*where) == element for where, element in places.items())


@pytest.mark.pure
def test_every_sum_has_one_place() -> None:
    places = {place_sums(m, n): (m, n) for m in range(EDGE) for n in range(EDGE)}
    assert set(places) == {(lane, e) for lane in range(LANES) for e in range(8)}
    assert all(sum_at(*where) == element for where, element in places.items())


@pytest.mark.pure
def test_places_are_those_of_the_documented_figures() -> None:
    # PTX ISA: m16n8k16 of 16-bit types, lane 5 (group 1, place 1); m16n8k32 of bytes; m16n8k8 of TF32.
    assert [row_at(2)(5, e) for e in range(8)] == [
        (1, 2), (1, 3), (9, 2), (9, 3), (1, 10), (1, 11), (9, 10), (9, 11),
    ]  # fmt: skip
    assert [column_at(2)(5, e) for e in range(4)] == [(1, 2), (1, 3), (1, 10), (1, 11)]
    assert [sum_at(5, e) for e in range(4)] == [(1, 2), (1, 3), (9, 2), (9, 3)]
    assert [row_at(4)(5, e) for e in (0, 3, 4, 8, 12)] == [(1, 4), (1, 7), (9, 4), (1, 20), (9, 20)]
    assert [row_at(1)(5, e) for e in range(4)] == [(1, 1), (9, 1), (1, 5), (9, 5)]
    assert [column_at(1)(5, e) for e in range(2)] == [(1, 1), (1, 5)]


@pytest.mark.tvm
def test_intrinsics_are_known_by_name_only() -> None:
    for types in MMA_TYPES:
        product = ensure_mma(types.product(False))
        assert product is not None and product.pattern.result.dtype == types.result
        assert ensure_mma(types.load("b", True)) is None
    for name in ("tirtune.mma.load_a.float64.float64", "tirtune.mma.load_c.float16.float32", "mma"):
        with pytest.raises(KeyError, match="no intrinsic is named"):
            ensure_mma(name)


def load_addresses(rows: int) -> list[np.ndarray]:
    """Lower a candidate whose rows of stages lie so; return byte addresses of the lanes of every ldmatrix."""
    ctx = gpu_context("gmm:1,64,128,128,dtype=float16")
    sketch = ctx.sketches["mma"]
    drawn = sketch.sample(np.random.default_rng(4), 400)
    columns = Columns(sketch.space, drawn)
    name = next(slot.name for slot in sketch.space.slots if slot.name.endswith(".tensor.pad"))
    tiles = columns.tile(name.replace(".pad", ".terms")), columns.tile(name.replace(".pad", ".columns"))
    wide = (tiles[0][:, 1] == 4) & (tiles[1][:, 1] * tiles[1][:, 2] >= 4)
    row = drawn[np.flatnonzero(wide & (columns.choice(name) == rows))[0]]
    module = materialize(ctx, sketch_plan(sketch, row)).module
    bound = tvm.tirx.transform.BindTarget(ctx.target.with_host(tvm.target.Target("llvm")))(module)
    with tvm.transform.PassContext(config={**space_of("cuda").lowering, "tirx.disable_cse_tir": True}):
        lowered = gpu_pipeline()[0](bound)
    found: list[np.ndarray] = []

    def visit(call: Any) -> None:
        if str(getattr(call.op, "name", "")) == "tirx.ptx_legacy.ldmatrix":
            index = call.args[5].args[2] + call.args[6]
            found.append(np.array([2 * at_lane(index, lane) for lane in range(LANES)]))

    for function in lowered.functions.values():
        walk_types(function.body, [(tvm.ir.Call, visit)])
    assert found
    return found


def at_lane(expression: Any, lane: int) -> int:
    """Evaluate an index for one lane, all other variables being zero; as TVM prints it, it is Python."""
    text = str(expression)
    names = dict.fromkeys(re.findall(r"[A-Za-z_]\w*", text), 0)
    return int(eval(text, {}, names | {"threadIdx_x": lane}))


def conflicts(addresses: np.ndarray) -> int:
    """Return the most cycles that a piece of 8 rows of 16 bytes takes; 1 is free of conflicts."""
    pieces = addresses.reshape(4, 8) // 16 % 8
    return int(max(np.bincount(piece, minlength=8).max() for piece in pieces))


@pytest.mark.tvm
@pytest.mark.parametrize("rows", [PADDED, SWIZZLED])
def test_padded_and_permuted_rows_have_no_bank_conflicts(rows: int) -> None:
    assert all(conflicts(addresses) == 1 for addresses in load_addresses(rows))


@pytest.mark.tvm
def test_straight_rows_have_bank_conflicts() -> None:
    assert max(conflicts(addresses) for addresses in load_addresses(STRAIGHT)) == 8
