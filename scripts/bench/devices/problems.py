"""What is compared on a GPU, and the same operators in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

FLOAT32 = (
    "gmm:1,512,512,512",
    "gmm:1,1024,1024,1024",
    "c2d:1,56,56,64,64,3,1,1",
    "c2d:1,14,14,256,256,3,1,1",
    "dep:1,112,112,32,3,1,1",
    "t2d:1,8,8,256,128,4,2,1",
    "sfm:2048,2048",
    "nrm:1,4096,4096",
)
"""Ansor's operators (appendix C), one or two shapes each."""

FLOAT16 = tuple(f"gmm:1,{n},{n},{n},dtype=float16" for n in (1024, 2048, 4096, 8192))

PROBLEMS = (
    *(FLOAT32[1], FLOAT16[2], FLOAT32[0], FLOAT16[0], *FLOAT32[2:4], FLOAT16[3], *FLOAT32[4:6]),
    *(FLOAT16[1], *FLOAT32[6:]),
)
"""Both kinds mixed, so that a run that ends early has figures of each."""


def torch_calls(text: str, values: dict[str, int], tensors: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    """Return PyTorch's ways to compute an operator; the fastest one counts.

    Args:
        text: The workload.
        values: Its numbers by name.
        tensors: Its inputs on the device, in call order.

    Raises:
        KeyError: If PyTorch has no such operator here.
    """
    return _CALLS[text.partition(":")[0]](values, tensors)


def _product(_: dict[str, int], t: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    left, right = t[0], t[1]
    return {"matmul": lambda: left @ right, "mm": lambda: left[0] @ right[0]}


def _softmax(_: dict[str, int], t: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    return {"softmax": lambda: t[0].softmax(-1)}


def _norm(_: dict[str, int], t: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    return {"norm": lambda: t[0].norm(dim=(1, 2))}


def _convolution(v: dict[str, int], t: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    import torch
    from torch.nn import functional

    data, weight = t[0].permute(0, 3, 1, 2), t[1]
    depthwise = weight.dim() == 3
    weight = weight.permute(2, 0, 1).unsqueeze(1) if depthwise else weight.permute(3, 2, 0, 1)
    groups = data.shape[1] if depthwise else v.get("groups", 1)
    rest = (None, v["stride"], v["padding"], v.get("dilation", 1), groups)

    def made(layout: Any) -> Callable[[], Any]:
        d, w = data.contiguous(memory_format=layout), weight.contiguous(memory_format=layout)
        return lambda: functional.conv2d(d, w, *rest)

    return {"channels first": made(torch.contiguous_format), "channels last": made(torch.channels_last)}


def _transposed(v: dict[str, int], t: Sequence[Any]) -> dict[str, Callable[[], Any]]:
    import torch
    from torch.nn import functional

    data, weight = t[0].permute(0, 3, 1, 2), t[1].permute(2, 3, 0, 1)

    def made(layout: Any) -> Callable[[], Any]:
        d, w = data.contiguous(memory_format=layout), weight.contiguous(memory_format=layout)
        return lambda: functional.conv_transpose2d(d, w, None, v["stride"], v["padding"])

    return {"channels first": made(torch.contiguous_format), "channels last": made(torch.channels_last)}


_CALLS: dict[str, Callable[[dict[str, int], Sequence[Any]], dict[str, Callable[[], Any]]]] = {
    "gmm": _product,
    "sfm": _softmax,
    "nrm": _norm,
    "c2d": _convolution,
    "dil": _convolution,
    "grp": _convolution,
    "dep": _convolution,
    "t2d": _transposed,
}
