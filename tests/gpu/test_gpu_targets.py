"""What a GPU target means: architecture, chip, limits, overrides, errors."""

import pytest

from search_space.hardware import Hardware, hardware_of, resolve_target, target_text
from search_space.hardware_gpu import GpuHardware, gpu_hardware
from search_space.tvm_api import tvm

pytestmark = pytest.mark.tvm


def limits(text: str) -> GpuHardware:
    found = hardware_of(resolve_target(text))
    assert isinstance(found, GpuHardware)
    return found


@pytest.mark.parametrize(
    ("text", "capability", "shared"),
    [
        ("cuda -arch=sm_70", 70, 96 << 10),
        ("cuda -arch=sm_75", 75, 64 << 10),
        ("cuda -arch=sm_80", 80, 163 << 10),
        ("cuda -arch=sm_86", 86, 99 << 10),
        ("cuda -arch=sm_89", 89, 99 << 10),
        ("cuda -arch=sm_90", 90, 227 << 10),
        ('{"kind": "cuda", "arch": "sm_80"}', 80, 163 << 10),
        ("nvidia/nvidia-h100", 90, 227 << 10),
        ("nvidia/nvidia-a100", 80, 163 << 10),
        ("nvidia/nvidia-v100", 70, 96 << 10),
    ],
)
def test_architectures_have_their_limits(text: str, capability: int, shared: int) -> None:
    found = limits(text)
    assert (found.capability, found.block_shared_bytes) == (capability, shared)
    assert found.static_shared_bytes == 48 << 10
    assert found.block_threads == 1024
    assert found.warp == 32
    assert found.has_async_copy == (capability >= 80)


def test_nominal_rates_are_those_of_the_data_sheets() -> None:
    a100 = limits("cuda -arch=sm_80")
    assert a100.fp32_flops == pytest.approx(19.5e12, rel=0.01)
    assert a100.tensor_flops == pytest.approx(312e12, rel=0.01)
    h100 = limits("cuda -arch=sm_90")
    assert h100.fp32_flops == pytest.approx(67e12, rel=0.01)


def test_cuda_alone_is_complete_on_any_machine() -> None:
    target = resolve_target("cuda")
    assert str(target.attrs["arch"]).startswith("sm_")
    again = tvm.target.Target(target_text(target))
    assert hardware_of(again) == hardware_of(target)


def test_the_model_names_the_chip() -> None:
    assert limits("cuda -arch=sm_90 -model=h200").dram_bytes_per_second == 4.8e12
    assert limits("cuda -arch=sm_90").dram_bytes_per_second == 3.35e12


def test_the_target_overrides_the_table() -> None:
    found = limits(
        "cuda -arch=sm_80 -max_shared_memory_per_block=32768 -max_threads_per_block=512 "
        "-registers_per_block=32768"
    )
    assert (found.static_shared_bytes, found.block_shared_bytes) == (32768, 32768)
    assert (found.block_threads, found.processor_registers) == (512, 32768)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuda -arch=sm_12", "sm_12.*known are sm_70"),
        ("cuda -arch=hopper", "hopper.*known are"),
        ("cuda -arch=sm_80 -model=tpu", "tpu.*known are v100"),
        ("cuda -colour=red", "unknown target"),
    ],
)
def test_unknown_gpus_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        resolve_target(text)
    assert "\n" not in str(caught.value)


def test_both_kinds_speak_the_same_protocol() -> None:
    for text in ("llvm", "cuda -arch=sm_90"):
        found = hardware_of(resolve_target(text, threads=1))
        assert found.kind in ("cpu", "gpu")
        assert found.cores == 1
        assert found.to_dict()["name"] == found.name
    assert isinstance(hardware_of(resolve_target("llvm")), Hardware)


def test_limits_need_no_compiler() -> None:
    assert gpu_hardware({"arch": "sm_90a"}).capability == 90
