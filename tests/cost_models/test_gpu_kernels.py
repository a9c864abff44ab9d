"""What warps cost: sectors, wavefronts, occupancy, waves; and what the draft model makes of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_models.gpu import GPU_COLUMNS, extract_gpu
from cost_models.gpu.analytic import kernel_seconds
from cost_models.gpu.kernels import kernels_of
from cost_models.gpu.transactions import sectors, wavefronts
from search_space.hardware_gpu import gpu_hardware
from search_space.nest import Access, Binding, Launch, LoopNest, ProgramNests

pytestmark = pytest.mark.pure

GPU = gpu_hardware({"arch": "sm_80"})
LANES = np.arange(32, dtype=np.float64)[None, :]


def copy_kernel(
    stride: float, blocks: float = 1000.0, registers: float = 32.0, shared: float = 0.0
) -> LoopNest:
    """A kernel of 256 threads that reads floats at a stride and writes them side by side."""
    extents = np.array([[blocks, 256.0]])
    launch = Launch(
        blocks=np.array([blocks]),
        threads=np.array([256.0]),
        shared_bytes=np.array([shared]),
        registers=np.array([registers]),
        stages=np.zeros(1),
        pipeline=np.ones(1),
        tensor_share=np.zeros(1),
    )
    size = np.array([[blocks * 256 * stride]])
    reads = np.array([[[256.0 * stride, stride]]])
    writes = np.array([[[256.0, 1.0]]])
    none = np.zeros((1, 2), dtype=bool)
    return LoopNest(
        stage="elementwise",
        extents=extents,
        kinds=np.zeros(2, dtype=np.int8),
        parallel=none,
        unrolled=none,
        vectorised=none,
        accesses=(
            Access("out", 4, True, False, np.array([[blocks * 256.0]]), writes),
            Access("in", 4, False, False, size, reads),
        ),
        flops=1.0,
        transcendentals=0.0,
        executions=np.ones(1),
        workers=np.zeros(1),
        predicated=np.zeros(1),
        binding=np.array([Binding.BLOCK, Binding.THREAD], dtype=np.int8),
        launch=launch,
    )


def nests(stage: LoopNest) -> ProgramNests:
    return ProgramNests((stage,), np.zeros(1), float(stage.extents.prod()), np.zeros(1))


@pytest.mark.parametrize(("stride_bytes", "wanted"), [(4, 4), (8, 8), (16, 16), (32, 32), (128, 32), (0, 1)])
def test_sectors_of_a_strided_warp(stride_bytes: int, wanted: int) -> None:
    assert sectors(LANES * stride_bytes)[0] == wanted


@pytest.mark.parametrize(
    ("stride_bytes", "unit_bytes", "wanted"),
    [(4, 4, 1), (8, 4, 2), (128, 4, 32), (132, 4, 1), (0, 4, 1), (16, 16, 4), (2, 2, 1)],
)
def test_wavefronts_count_bank_conflicts(stride_bytes: int, unit_bytes: int, wanted: int) -> None:
    assert wavefronts(LANES * stride_bytes, np.array([float(unit_bytes)]))[0] == wanted


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4096), min_size=32, max_size=32))
def test_a_warp_never_costs_more_than_its_lanes(words: list[int]) -> None:
    addresses = np.array([words], dtype=np.float64) * 4
    assert 1 <= sectors(addresses)[0] <= 32
    assert 1 <= wavefronts(addresses, np.array([4.0]))[0] <= 32


def test_occupancy_is_what_the_scarcest_resource_allows() -> None:
    def resident(**wanted: float) -> float:
        return float(kernels_of((copy_kernel(1.0, **wanted),), GPU)[0].blocks_per_processor[0])

    assert resident() == 8  # 2048 threads
    assert resident(registers=128.0) == 2  # 65536 registers
    assert resident(shared=50 * 1024.0) == 3  # 164 KiB, one of them reserved for every block


def seconds_of(stage: LoopNest) -> float:
    return float(kernel_seconds(kernels_of((stage,), GPU)[0], GPU).total[0])


def test_strides_cost_bandwidth() -> None:
    near, far = (seconds_of(copy_kernel(s, blocks=100000.0)) for s in (1.0, 8.0))
    assert far > 2 * near


def test_a_large_copy_takes_as_long_as_memory_does() -> None:
    seconds = seconds_of(copy_kernel(1.0, blocks=400000.0))
    moved = 2 * 4 * 256 * 400000.0 / GPU.dram_bytes_per_second
    assert moved < seconds < 2 * moved


def test_half_a_wave_leaves_processors_idle() -> None:
    index = [column.name for column in GPU_COLUMNS].index("main_balance")
    few, many = (extract_gpu(nests(copy_kernel(1.0, blocks=b)), GPU)[0][0, index] for b in (54.0, 1080.0))
    assert (few, many) == (0.5, 1.0)
