"""Every rewrite computes what the original computes, whatever the layout, padding and epilogue."""

import pytest
from checking import block_names, check_same
from samples import conv_nchw, conv_nhwc, matmul, transposed_nchw

from search_space.rewrites import NotLiftable, alternatives, pad_axis
from search_space.rewrites.emit import emit
from search_space.rewrites.fuse_rows import fuse_rows
from search_space.rewrites.im2col import im2col
from search_space.rewrites.overlap import covers_of
from search_space.rewrites.program import lift
from search_space.rewrites.split_reduction import split_reduction
from search_space.rewrites.transposed import decompose_by_phase
from search_space.tvm_api import IRModule, Schedule, structural_equal, te, tvm

pytestmark = pytest.mark.tvm

WINDOWED = {
    "padded epilogue": lambda: conv_nhwc((1, 7, 9, 18), 10, 3, padding=1, epilogue=True),
    "strided dilated": lambda: conv_nhwc((1, 11, 9, 3), 10, 3, stride=2, padding=1, dilation=2),
    "strided 1x1": lambda: conv_nhwc((2, 7, 7, 8), 20, 1, stride=2, epilogue=True),
    "int8": lambda: conv_nhwc((1, 7, 9, 8), 10, 3, padding=1, dtype="int8"),
    "nchw": lambda: conv_nchw((1, 4, 7, 7), 10, 3, padding=1, epilogue=True),
    "nchw batch": lambda: conv_nchw((2, 4, 7, 7), 10, 5, stride=2, padding=2, epilogue=True),
}


def every_axis(shape, row):
    """Cover whatever can be covered, by two or three tiles."""
    del row
    found = {d: covers_of(extent, 1, 0.6) for d, extent in enumerate(shape) if extent > 4}
    return {d: covers[len(covers) // 2] for d, covers in found.items() if covers}


@pytest.mark.parametrize("name", WINDOWED)
@pytest.mark.parametrize("choose", [None, every_axis])
def test_im2col(name, choose):
    func = WINDOWED[name]()
    check_same(func, im2col(lift(func), choose).func)


def test_im2col_drops_the_padding_block():
    func = WINDOWED["nchw"]()
    assert block_names(im2col(lift(func)).func) == ["conv2d_nchw_patches", "conv2d_nchw", "T_add", "compute"]


TRANSPOSED = {
    "k4s2": lambda: transposed_nchw((1, 4, 5, 5), 6, 4, 2, 1, epilogue=True),
    "k3s2 odd": lambda: transposed_nchw((1, 4, 5, 4), 6, 3, 2, 1, epilogue=True),
    "k3s2 output padding": lambda: transposed_nchw((1, 4, 5, 5), 6, 3, 2, 1, output_padding=1),
    "k5s3": lambda: transposed_nchw((2, 3, 4, 5), 4, 5, 3, 1),
    "k2s3": lambda: transposed_nchw((1, 3, 4, 5), 4, 2, 3, 0),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolution_by_phase(name):
    func = TRANSPOSED[name]()
    rewrite = decompose_by_phase(lift(func))
    check_same(func, rewrite.func)
    assert [r.name for r in alternatives(func)] == ["phases"]


def test_phases_multiply_no_inserted_zeros_and_read_weights_in_place():
    from search_space.tvm_api import estimate_flops

    func = TRANSPOSED["k4s2"]()
    rewritten = decompose_by_phase(lift(func)).func
    before, after = (estimate_flops(IRModule({"main": f})) for f in (func, rewritten))
    assert after < 0.3 * before
    assert block_names(rewritten) == ["compute_pad", "compute", "T_add", "compute_1"]
    assert "%" not in rewritten.script().split('"compute"')[1].split("T_add")[0]


def test_a_convolution_that_is_not_transposed_has_no_phases():
    assert decompose_by_phase(lift(WINDOWED["nchw"]())) is None


ROWS = {
    "nhwc": lambda: conv_nhwc((2, 7, 5, 8), 20, 1, epilogue=True),
    "nhwc plain": lambda: conv_nhwc((1, 7, 7, 8), 16, 1),
    "nchw": lambda: conv_nchw((2, 4, 7, 7), 10, 1, epilogue=True),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("choose", [None, every_axis])
def test_fused_rows(name, choose):
    func = ROWS[name]()
    check_same(func, fuse_rows(lift(func), choose).func)


def test_fused_rows_run_through_the_epilogue_and_drop_copies():
    func = fuse_rows(lift(ROWS["nhwc"]())).func
    assert block_names(func) == ["conv", "biased", "summed", "relu"]
    schedule = Schedule(IRModule({"main": func}))
    extents = [int(schedule.get(loop).extent) for loop in schedule.get_loops(schedule.get_sblock("relu"))]
    assert extents == [70, 20]


def test_fused_rows_leave_no_division_in_tiled_addresses():
    func = fuse_rows(lift(conv_nhwc((1, 14, 14, 32), 32, 1))).func
    schedule = Schedule(IRModule({"main": func}))
    rows, columns, channels = schedule.get_loops(schedule.get_sblock("conv"))
    tiles, inner = schedule.split(rows, [None, 14])
    schedule.reorder(tiles, channels, inner, columns)
    passes = [
        tvm.s_tir.transform.LowerInitBlock(),
        tvm.s_tir.transform.ConvertBlocksToOpaque(),
        tvm.s_tir.transform.LowerOpaqueBlock(),
        tvm.tirx.transform.FlattenBuffer(),
        tvm.tirx.transform.StmtSimplify(),
    ]
    text = tvm.ir.transform.Sequential(passes)(schedule.mod).script()
    assert "//" not in text and "%" not in text


@pytest.mark.parametrize("parts", [2, 3])
def test_split_reduction(parts):
    func = matmul(5, 20, 96, epilogue=True)
    rewrite = split_reduction(lift(func), parts)
    check_same(func, rewrite.func)
    assert block_names(rewrite.func) == ["matmul_part", "matmul", "biased"]


def test_split_reduction_of_a_convolution_and_where_it_does_not_divide():
    func = conv_nhwc((1, 5, 5, 8), 6, 3, padding=1, epilogue=True)
    check_same(func, split_reduction(lift(func), 4).func)
    assert split_reduction(lift(func), 3) is None


PADDED = {
    "matmul rows": (lambda: matmul(49, 19, 13, epilogue=True), "matmul", 0),
    "matmul columns": (lambda: matmul(49, 19, 13), "matmul", 1),
    "matmul reduction": (lambda: matmul(49, 19, 13), "matmul", 2),
    "int8": (lambda: matmul(9, 19, 13, dtype="int8"), "matmul", 0),
    "convolution row": (WINDOWED["padded epilogue"], "conv", 1),
    "convolution column": (WINDOWED["strided dilated"], "conv", 2),
    "convolution filters": (WINDOWED["padded epilogue"], "conv", 3),
    "convolution tap": (WINDOWED["strided dilated"], "conv", 4),
    "convolution channels": (WINDOWED["padded epilogue"], "conv", 6),
    "grouped filters": (
        lambda: conv_nchw((1, 8, 7, 7), 12, 3, stride=2, padding=1, groups=2),
        "group_conv2d_nchw",
        1,
    ),
}


@pytest.mark.parametrize("name", PADDED)
def test_padded_axis(name):
    make, block, axis = PADDED[name]
    func = make()
    padded = pad_axis(func, block, axis, 8)
    check_same(func, padded)
    schedule = Schedule(IRModule({"main": padded}))
    loops = schedule.get_loops(schedule.get_sblock(block))
    assert int(schedule.get(loops[axis]).extent) % 8 == 0


def test_padding_a_convolution_enlarges_its_padding_block():
    padded = pad_axis(WINDOWED["padded epilogue"](), "conv", 2, 4)
    assert block_names(padded) == ["PadInput", "conv", "biased", "summed", "relu"]


def test_padding_that_divides_returns_the_function_itself():
    func = matmul(48, 16, 8)
    assert pad_axis(func, "matmul", 0, 8).same_as(func)


@pytest.mark.parametrize(
    ("block", "axis", "message"),
    [("missing", 0, "no block 'missing'"), ("matmul", 7, "iterators 0 to 2"), ("biased", 0, "plain sum")],
)
def test_padding_errors_say_what_is_wrong(block, axis, message):
    with pytest.raises(NotLiftable, match=message):
        pad_axis(matmul(8, 8, 8, epilogue=True), block, axis, 16)


EVERY = {**WINDOWED, **TRANSPOSED, **ROWS, "long sum": lambda: matmul(7, 24, 1024, epilogue=True)}


@pytest.mark.parametrize("name", EVERY)
def test_alternatives_are_right_and_have_unique_names(name):
    func = EVERY[name]()
    found = alternatives(func)
    assert found and len({r.name for r in found}) == len(found)
    for rewrite in found:
        check_same(func, rewrite.func, rtol=1e-4, atol=1e-5 * rewrite.tolerance_scale)


def test_names_do_not_matter():
    def build(prefix):
        data = te.placeholder((1, 6, 6, 4), name=f"{prefix}a")
        weight = te.placeholder((3, 3, 4, 8), name=f"{prefix}b")
        axes = [te.reduce_axis((0, e), name=f"{prefix}{e}{i}") for i, e in enumerate((3, 3, 4))]
        out = te.compute(
            (1, 4, 4, 8),
            lambda n, h, w, f: te.sum(
                weight[axes[0], axes[1], axes[2], f] * data[n, h + axes[0], w + axes[1], axes[2]], axis=axes
            ),
            name=f"{prefix}c",
        )
        return te.create_prim_func([data, weight, out])

    first, second = (alternatives(build(p)) for p in ("x", "completely_other"))
    assert [r.name for r in first] == [r.name for r in second]
    assert all(structural_equal(a.func, b.func) for a, b in zip(first, second, strict=True))


def test_lift_and_emit_round_trip():
    for name in ("padded epilogue", "nchw batch", "k5s3"):
        func = EVERY[name]()
        check_same(func, emit(lift(func), []))


def test_functions_of_another_form_have_no_alternatives():
    source = te.placeholder((8, 8), name="A")
    doubled = te.create_prim_func([source, te.compute((8, 8), lambda i, j: source[i, j] * 2.0, name="B")])
    assert alternatives(doubled) == []
    axis = te.reduce_axis((0, 8), name="k")
    top = te.compute((8,), lambda i: te.max(source[i, axis], axis=axis), name="top")
    assert alternatives(te.create_prim_func([source, top])) == []
    schedule = Schedule(matmul(8, 8, 8))
    schedule.split(schedule.get_loops(schedule.get_sblock("matmul"))[0], [2, 4])
    assert alternatives(schedule.mod["main"]) == []
