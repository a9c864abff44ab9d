"""A pretend machine: run times with effects that the draft model does not know."""

from __future__ import annotations

import numpy as np
from nests import Machine, convolution, matmul

from cost_models.analytic import Calibration, draft_seconds
from cost_models.base import Dataset
from cost_models.features import extract_with_draft
from cost_models.features.columns import COLUMN_INDEX

MACHINE = Machine()
SECRET = Calibration(
    peak_flops=1.5e11,
    l2_bytes_per_second=4.0e10,
    l3_bytes_per_second=1.2e10,
    dram_bytes_per_second=9.0e9,
    fork_join_seconds=6.0e-6,
)


def truth(nests, features, rng, noise=0.05):
    """Return seconds: another calibration, spills, aliased strides, narrow vectors, and noise."""

    def column(name):
        return features[:, COLUMN_INDEX[name]]

    seconds = draft_seconds(nests, MACHINE, SECRET).astype(float)
    seconds *= 1 + 0.8 * np.clip(np.exp2(column("register_pressure")) - 2.0, 0, 2)
    seconds *= 1 + 0.3 * np.clip(column("input1_conflicts") - 3, 0, 4)
    seconds *= 1 + 0.6 * (column("vector_lanes") < 4) + 0.4 * (column("output_run") < 5)
    seconds *= 1 + 0.15 * np.clip(column("code_size") - 8, 0, 4)
    seconds *= 1 + 0.1 * np.abs(np.sin(3 * column("l2_iterations")))
    return seconds * np.exp(rng.normal(0, noise, len(seconds)))


def problems():
    shapes = [
        (512, 512, 512),
        (128, 768, 768),
        (1024, 64, 256),
        (96, 96, 96),
        (768, 768, 64),
        (64, 1024, 512),
    ]
    for shape in shapes:
        yield lambda rng, size, shape=shape: matmul(rng, size, *shape)
    for extent, channels, kernel, stride in (
        (56, 64, 3, 1),
        (14, 256, 3, 1),
        (28, 128, 1, 1),
        (28, 64, 3, 2),
    ):
        yield lambda rng, size, a=(extent, channels, kernel, stride): convolution(rng, size, *a)


def dataset(seed, size=200, chosen=None, failures=0.0, good=1.0):
    """Return measured candidates of several tasks.

    ``good`` below 1 keeps that part of each sample which the draft likes best, as a search would.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for group, problem in enumerate(problems()):
        if chosen is not None and group not in chosen:
            continue
        nests = problem(rng, int(size / good))
        features, draft = extract_with_draft(nests, MACHINE)
        seconds = truth(nests, features, rng)
        keep = np.argsort(draft, kind="stable")[:size] if good < 1 else np.arange(size)
        features, draft, seconds = features[keep], draft[keep], seconds[keep]
        if failures:
            broken = features[:, COLUMN_INDEX["code_size"]] > np.quantile(
                features[:, COLUMN_INDEX["code_size"]], 1 - failures
            )
            seconds = np.where(broken, np.nan, seconds)
        parts.append(Dataset(features, draft.astype(float), seconds, np.full(len(seconds), group)))
    return Dataset.join(parts)
