"""PyTorch eager: the ONNX graph as a module, in the forms that PyTorch runs best.

Batch normalisation is folded into convolutions, attention and GELU are PyTorch's own fused functions;
convolutional networks run in both memory formats and the faster one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from scripts.bench.sides.base import Variant
from scripts.bench.whole.sides import Feeds
from scripts.bench.whole.torch_graph import GraphModule

_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def load(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Variant]:
    """Prepare the model in every layout that suits PyTorch."""
    return [_variant(name, module, inputs) for name, module, inputs in layouts(model, feeds, options)]


def layouts(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[tuple[str, Any, list[Any]]]:
    """Return name, module and inputs for each memory format."""
    torch.set_num_threads(options["threads"])
    torch.set_grad_enabled(False)
    inputs = [torch.from_numpy(array) for array in feeds.values()]
    found = [("contiguous", GraphModule(model).eval(), inputs)]
    layout = _CHANNELS_LAST.get(inputs[0].dim())
    if layout is not None:
        last = [i.to(memory_format=layout) for i in inputs]
        found.append(("channels last", GraphModule(model, layout).eval(), last))
    return found


def _variant(name: str, module: Any, inputs: list[Any]) -> Variant:
    def call() -> Any:
        return module(*inputs)

    return Variant(name, call, lambda: np.ascontiguousarray(call().numpy()))
