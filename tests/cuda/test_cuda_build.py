"""Building for a GPU on a machine without one: reports, limits, refusals, and real machine code."""

import pytest
from device_plans import device_task, materialize, prepare

from search_space.hardware import resolve_target
from tuner.errors import JobFailed
from tuner.measure.cuda import toolkit
from tuner.measure.cuda.build import ExceedsDevice, Launch, build_device, check_launch, check_report, gpu_of
from tuner.measure.cuda.code import pack, unpack
from tuner.measure.cuda.nvrtc import CompileError
from tuner.measure.cuda.report import KernelReport, parse_report
from tuner.measure.cuda.settling import has_settled

TARGETS = ("cuda -arch=sm_80", "cuda -arch=sm_90")

NVRTC_LOG = """
kernel.cu(59): warning #177-D: variable "cse_v1" was declared but never referenced
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'main_kernel' for 'sm_80'
ptxas info    : Function properties for main_kernel
ptxas         .     112 bytes stack frame, 80 bytes spill stores, 96 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 112 bytes cumulative stack size, 8192 bytes smem
ptxas info    : Compile time = 56.721 ms
ptxas info    : Compiling entry function 'main_kernel_1' for 'sm_80'
ptxas info    : Function properties for helper
ptxas         .     8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
ptxas info    : Function properties for main_kernel_1
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 376 bytes cmem[0]
"""


@pytest.mark.pure
def test_a_report_is_read_kernel_by_kernel():
    first, second = parse_report(NVRTC_LOG)
    assert first == KernelReport("main_kernel", 255, 112, 80, 96, 8192)
    assert first.spill_bytes == 176
    assert second == KernelReport("main_kernel_1", 40, 0, 0, 0, 0)


@pytest.mark.pure
def test_a_report_without_registers_is_an_error_and_an_empty_one_is_not():
    assert parse_report("nothing to see") == ()
    with pytest.raises(ValueError, match="main_kernel"):
        parse_report("ptxas info    : Compiling entry function 'main_kernel' for 'sm_80'\n")


@pytest.mark.tvm
@pytest.mark.parametrize(
    ("launch", "words"),
    [
        (Launch("k", {"threadIdx.x": 32, "threadIdx.y": 64}, 0), "2048 threads"),
        (Launch("k", {"blockIdx.y": 70000, "threadIdx.x": 32}, 0), "blockIdx.y of 70000"),
        (Launch("k", {"threadIdx.x": 32}, 200 << 10), "204800 bytes of shared memory"),
    ],
)
def test_launches_beyond_the_device_are_refused(launch, words):
    with pytest.raises(ExceedsDevice, match=words):
        check_launch(launch, gpu_of(resolve_target(TARGETS[0])))
    check_launch(
        Launch("k", {"blockIdx.x": 70000, "threadIdx.x": 1024}, 160 << 10), gpu_of(resolve_target(TARGETS[0]))
    )


@pytest.mark.tvm
@pytest.mark.parametrize(
    ("registers", "spills", "shared", "words"),
    [
        (80, 0, 0, "registers a block"),
        (32, 2000, 0, "spills 2000 bytes"),
        (32, 0, 150 << 10, "shared memory"),
    ],
)
def test_kernels_beyond_the_device_are_refused(registers, spills, shared, words):
    hardware = gpu_of(resolve_target(TARGETS[0]))
    launch = Launch("k", {"threadIdx.x": 1024}, 20 << 10)
    with pytest.raises(ExceedsDevice, match=words):
        check_report(KernelReport("k", registers, 0, spills, 0, shared), launch, hardware, 1020)
    check_report(KernelReport("k", 64, 0, 1000, 0, 1 << 10), launch, hardware, 1020)


@pytest.mark.pure
def test_clocks_hold_still_when_the_last_three_times_are_alike():
    assert not has_settled([])
    assert not has_settled([1.0, 1.0])
    assert has_settled([2.0, 1.0, 1.01, 1.0])
    assert not has_settled([1.0, 1.0, 1.0, 1.5])


@pytest.mark.tvm
@pytest.mark.parametrize("target", TARGETS)
def test_machine_code_is_made_without_a_device(target):
    resolved = resolve_target(target)
    module = prepare(device_task(target=target).program, "")
    built = build_device(materialize(module, {"kind": "tiled", "scope": "shared.dyn"}).module, resolved)
    assert built.code.binary[:4] == b"\x7fELF"
    assert list(built.code.kernels) == ["main_kernel"]
    assert built.code.kernels["main_kernel"].argument_types == ["handle"] * 3
    assert built.code.kernels["main_kernel"].launch_tags[-1] == "tirx.use_dyn_shared_memory"
    assert built.facts["shared_bytes"] == 2 * 16 * 8 * 4
    assert 0 < built.facts["registers"] <= 255 and built.facts["kernels"] == 1
    assert "__launch_bounds__(256)" in built.source
    assert unpack(pack(built.code)) == built.code


@pytest.mark.tvm
def test_what_cannot_be_compiled_says_why():
    target = resolve_target(TARGETS[0])
    module = prepare(device_task().program, "")
    with pytest.raises(ExceedsDevice, match="4096 threads"):
        build_device(materialize(module, {"kind": "crowded"}).module, target)
    with pytest.raises(ExceedsDevice, match="shared memory"):
        build_device(materialize(module, {"kind": "greedy"}).module, target)
    with pytest.raises(Exception, match="threads"):
        build_device(module, target)


@pytest.mark.tvm
def test_an_error_of_the_compiler_is_its_first_line():
    from tuner.measure.cuda.compiler import compile_cuda

    with pytest.raises(CompileError, match=r"error.*undefined"):
        compile_cuda('extern "C" __global__ void k(float* p) { p[0] = nowhere; }', "sm_80")


@pytest.mark.tvm
def test_damaged_code_is_refused():
    with pytest.raises(ValueError, match="damaged"):
        unpack(b"\xff\x00nonsense")


@pytest.mark.pure
def test_a_missing_compiler_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(toolkit, "_roots", lambda: iter((tmp_path,)))
    monkeypatch.setenv("PATH", str(tmp_path))
    toolkit.find_toolkit.cache_clear()
    try:
        with pytest.raises(JobFailed, match=r"tirtune\[cuda\]"):
            toolkit.find_toolkit()
    finally:
        toolkit.find_toolkit.cache_clear()


@pytest.mark.pure
def test_the_library_is_preferred_to_the_program(monkeypatch, tmp_path):
    for name in ("lib/libnvrtc.so.13", "bin/nvcc", "include/cuda_fp16.h"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr(toolkit, "_roots", lambda: iter((tmp_path,)))
    toolkit.find_toolkit.cache_clear()
    try:
        found = toolkit.find_toolkit()
        assert found.nvrtc == tmp_path / "lib" / "libnvrtc.so.13" and found.nvcc is None
        assert found.includes == (tmp_path / "include",)
        (tmp_path / "lib" / "libnvrtc.so.13").unlink()
        toolkit.find_toolkit.cache_clear()
        assert toolkit.find_toolkit().nvcc == tmp_path / "bin" / "nvcc"
    finally:
        toolkit.find_toolkit.cache_clear()
