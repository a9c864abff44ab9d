"""Products on tensor cores are right: on an emulated device everywhere, on a real one where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from device_plans import TARGET

from search_space.candidate import Plan, context_of, sketch_plan
from search_space.decisions import Columns
from search_space.gpu.tensor.tiling import PADDED, STRAIGHT, SWIZZLED
from search_space.hardware import resolve_target, target_text
from tests.gpu.programs import gpu_workload
from tuner.measure.base import MeasureTask
from tuner.measure.cuda.measurer import DeviceMeasurer
from tuner.measure.options import MeasureOptions

OPTIONS = MeasureOptions(
    canary_seconds=0.0,
    settle_seconds=0.0,
    build_timeout_seconds=60.0,
    least_timeout_seconds=60.0,
    run_timeout_seconds=60.0,
    workers=2,
)


@pytest.fixture(scope="module")
def measurer() -> Iterator[DeviceMeasurer]:
    with DeviceMeasurer(OPTIONS) as measurer:
        yield measurer


def plans(spec: str, target: str, kind: str, rows: tuple[int, ...], pipeline: int) -> list[Plan]:
    """Draw a candidate of the sketch for every way in which rows of a stage may lie."""
    sketch = context_of(gpu_workload(spec), resolve_target(target)).sketches[kind]
    drawn = sketch.sample(np.random.default_rng(1), 400)
    columns = Columns(sketch.space, drawn)
    names = [slot.name for slot in sketch.space.slots]
    pad, depth = (next(n for n in names if n.endswith(end)) for end in (".tensor.pad", ".tensor.pipeline"))
    found = []
    for way in rows:
        fitting = (columns.choice(pad) == way) & (columns.choice(depth) == pipeline)
        found.append(sketch_plan(sketch, drawn[np.flatnonzero(fitting)[0]]))
    return found


@pytest.mark.parametrize(
    ("spec", "kind", "rows", "pipeline"),
    [
        ("gmm:1,64,64,96,dtype=float16", "mma", (STRAIGHT, PADDED, SWIZZLED), 2),
        ("gmm:2,60,72,56,dtype=float16", "mma", (PADDED,), 3),
        ("gmm:1,64,64,64,dtype=bfloat16", "mma", (SWIZZLED,), 1),
        ("gmm:1,64,64,32", "mma", (STRAIGHT, PADDED), 2),
        ("half convolution", "mma", (PADDED,), 2),
        ("strided half convolution", "mma", (PADDED,), 1),
        ("byte product", "mma", (STRAIGHT, PADDED), 1),
        ("straight byte product", "mma", (PADDED,), 2),
        ("half sums", "mma", (SWIZZLED,), 2),
        ("gmm:1,32,32,512,dtype=float16", "split4-mma", (PADDED,), 2),
        ("gmm:1,64,64,96,dtype=float16", "wmma", (PADDED,), 2),
        ("byte product", "wmma", (STRAIGHT,), 1),
    ],
)
def test_products_of_fragments_are_right(
    measurer: DeviceMeasurer, spec: str, kind: str, rows: tuple[int, ...], pipeline: int
) -> None:
    workload = gpu_workload(spec)
    target = f"{TARGET} -libs=tf32"
    task = MeasureTask(
        workload.key, workload.program(), target_text(resolve_target(target)), workload.name, 1
    )
    measurer.open(task)
    for result in measurer.measure(task.key, plans(spec, target, kind, rows, pipeline)):
        assert result.failure is None, result.failure
        assert result.verdict is not None and result.verdict.ok
