"""PyTorch's eager kernels, in the layouts that its CPU library takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from scripts.bench.problem import Array, Problem
from scripts.bench.sides.base import Variant

Tensor = Any
_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
_PACKERS = {2: torch._C._nn.mkldnn_reorder_conv2d_weight, 3: torch._C._nn.mkldnn_reorder_conv3d_weight}
_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def load(problem: Problem, arrays: Mapping[str, Array], options: Mapping[str, Any]) -> list[Variant]:
    """Prepare the operator in every layout that suits PyTorch; nothing for what it lacks."""
    torch.set_num_threads(options["threads"])
    torch.set_grad_enabled(False)
    if problem.dtype != "float32":
        return []
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    makers = _MAKERS.get(problem.operator)
    return [] if makers is None else makers(problem, tensors)


def trivial() -> Callable[[], Any]:
    """Return a call of a kernel that does next to nothing."""
    one = torch.zeros(1)
    return partial(torch.neg, one)


def _variant(name: str, call: Callable[[], Tensor], back: Callable[[Tensor], Tensor]) -> Variant:
    return Variant(name, call, lambda: np.ascontiguousarray(back(call()).numpy()))


def channels_second(tensor: Tensor) -> Tensor:
    """[N, *spatial, C] -> [N, C, *spatial], in memory too."""
    return tensor.movedim(-1, 1).contiguous()


def _convolutions(problem: Problem, t: Mapping[str, Tensor]) -> list[Variant]:
    v = problem.values
    rank = t["data"].dim() - 2
    # [*kernel, CI / groups, CO] -> [CO, CI / groups, *kernel]; a depthwise weight is [*kernel, C].
    weight = t["weight"].unsqueeze(rank) if problem.operator == "dep" else t["weight"]
    weight = weight.movedim((-1, -2), (0, 1)).contiguous()
    groups = v["channels"] if problem.operator == "dep" else v.get("groups", 1)
    rest = (None, v["stride"], v["padding"], v.get("dilation", 1), groups)
    finish: Callable[[Tensor], Tensor] | None = None
    if problem.operator == "cbr":
        # Inference folds the batch normalisation into the convolution.
        weight = weight * t["scale"].reshape(-1, 1, 1, 1)
        rest = (t["bias"] * t["scale"] + t["shift"], *rest[1:])
        finish = torch.relu_
    data = channels_second(t["data"])
    convolve = _CONVOLUTIONS[rank]
    pack = _PACKERS.get(rank)
    packed = None
    if pack is not None:
        packed = pack(
            weight.to_mkldnn(), [v["padding"]] * rank, [v["stride"]] * rank, [rest[3]] * rank, groups
        )
    return _layouts(rank, data, weight, lambda d, w: convolve(d, w, *rest), finish, packed)


def _transposed(problem: Problem, t: Mapping[str, Tensor]) -> list[Variant]:
    v = problem.values
    weight = t["weight"].permute(2, 3, 0, 1).contiguous()
    rest = (None, v["stride"], v["padding"])
    return _layouts(
        2,
        channels_second(t["data"]),
        weight,
        lambda d, w: functional.conv_transpose2d(d, w, *rest),
        None,
        None,
    )


def _layouts(
    rank: int,
    data: Tensor,
    weight: Tensor,
    operator: Callable[[Tensor, Tensor], Tensor],
    finish: Callable[[Tensor], Tensor] | None,
    packed: Tensor | None,
) -> list[Variant]:
    def made(name: str, d: Tensor, w: Tensor, dense: bool = False) -> Variant:
        def call() -> Tensor:
            out = operator(d, w)
            return out if finish is None else finish(out)

        def back(out: Tensor) -> Tensor:
            return (out.to_dense() if dense else out).movedim(1, -1)

        return _variant(name, call, back)

    found = [made("channels first", data, weight)]
    if rank in _CHANNELS_LAST:
        layout = _CHANNELS_LAST[rank]
        found.append(made("channels last", data.to(memory_format=layout), weight.to(memory_format=layout)))
    if packed is not None:
        # oneDNN's own blocked layout, the weight packed beforehand as torch.utils.mkldnn does.
        found.append(made("oneDNN layout", data.to_mkldnn(), packed, dense=True))
    return found


def _product(problem: Problem, t: Mapping[str, Tensor]) -> list[Variant]:
    left, right = t["left"], t["right"]
    found = [_variant("matmul", partial(torch.matmul, left, right), lambda out: out)]
    if left.dim() == 3 and left.shape[0] == 1:
        flat = partial(torch.mm, left[0], right[0])
        found.append(_variant("mm", flat, lambda out: out[None]))
    return found


def _norm(_: Problem, t: Mapping[str, Tensor]) -> list[Variant]:
    data = t["data"]
    flat = data.flatten(1)
    return [
        _variant("vector_norm", partial(torch.linalg.vector_norm, data, dim=(1, 2)), lambda out: out),
        _variant("flat vector_norm", partial(torch.linalg.vector_norm, flat, dim=1), lambda out: out),
    ]


def _softmax(_: Problem, t: Mapping[str, Tensor]) -> list[Variant]:
    return [_variant("softmax", partial(torch.softmax, t["data"], -1), lambda out: out)]


def _layer_norm(_: Problem, t: Mapping[str, Tensor]) -> list[Variant]:
    data, scale, shift = t["data"], t["scale"], t["shift"]
    call = partial(torch.nn.functional.layer_norm, data, scale.shape, scale, shift, 1e-5)
    return [_variant("layer_norm", call, lambda out: out)]


def _attention(_: Problem, t: Mapping[str, Tensor]) -> list[Variant]:
    query, value = t["query"], t["value"]

    def call() -> Tensor:
        return torch.matmul(query.permute(0, 2, 1, 3), value.permute(0, 2, 3, 1))

    return [_variant("permute and matmul", call, lambda out: out)]


_MAKERS: Mapping[str, Callable[[Problem, Mapping[str, Tensor]], list[Variant]]] = {
    **dict.fromkeys(("c1d", "c2d", "c3d", "grp", "dil", "dep", "cbr"), _convolutions),
    "t2d": _transposed,
    "gmm": _product,
    "mm": _product,
    "nrm": _norm,
    "sfm": _softmax,
    "layernorm": _layer_norm,
    "tbg": _attention,
}
