"""The benchmark's networks: our own definitions with seeded random weights, as ONNX.

``python -m scripts.bench.definitions resnet18 mobilenet_v2 --out DIR`` writes the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from scripts.bench.definitions.transformers import bert, vit
from scripts.bench.definitions.vision import dcgan, mobilenet_v2, resnet, resnet3d, tiny

NETWORKS: Mapping[str, Callable[[int], onnx.ModelProto]] = {
    "resnet18": lambda batch: resnet(18, batch),
    "resnet50": lambda batch: resnet(50, batch),
    "mobilenet_v2": mobilenet_v2,
    "resnet3d18": resnet3d,
    "dcgan": dcgan,
    "bert": bert,
    "vit": vit,
}
"""Name to a function of the batch size."""

PARTS: Mapping[str, Callable[[int], onnx.ModelProto]] = {"bert_layer": lambda batch: bert(batch, layers=1)}
"""The same for parts of networks, which no benchmark runs by default."""

__all__ = ["NETWORKS", "PARTS", "bert", "dcgan", "mobilenet_v2", "resnet", "resnet3d", "tiny", "vit"]
