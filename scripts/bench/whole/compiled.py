"""Our own models, from the library that ``tirtune compile`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

import tuner
from scripts.bench.sides.base import Variant
from scripts.bench.whole.sides import Feeds, Layer
from tuner.profile import profile_layers


def load(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Variant]:
    """Load the library of ``options["library"]``."""
    compiled = tuner.load(options["library"])
    arrays = [feeds[tensor.name] for tensor in compiled.inputs]
    call = partial(compiled.run_tensors, *arrays)
    return [Variant("compiled", call, lambda: np.array(compiled.run(*arrays)[0]))]


def profile(model: str, feeds: Feeds, options: Mapping[str, Any]) -> list[Layer]:
    """Time every function that the model calls."""
    compiled = tuner.load(options["library"])
    arrays = [feeds[tensor.name] for tensor in compiled.inputs]
    return [
        Layer(call.symbol, call.symbol.split("_packed")[0], call.seconds, call.shapes)
        for call in profile_layers(compiled, *arrays)
    ]
