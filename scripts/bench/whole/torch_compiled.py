"""``torch.compile`` with frozen weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from scripts.bench.sides.base import Variant
from scripts.bench.whole.sides import Feeds
from scripts.bench.whole.torch_side import layouts


def load(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Variant]:
    """Compile the model in every layout that suits PyTorch."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    inductor.compile_threads = 1
    return [_variant(name, module, inputs) for name, module, inputs in layouts(model, feeds, options)]


def _variant(name: str, module: Any, inputs: list[Any]) -> Variant:
    compiled = torch.compile(module)

    def call() -> Any:
        return compiled(*inputs)

    return Variant(name, call, lambda: np.ascontiguousarray(call().numpy()))
