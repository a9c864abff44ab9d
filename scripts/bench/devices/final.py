"""The last measurement: kernels of all sides in one process, run in turns.

``python -m scripts.bench.devices.final TEXT --log LOG --folder FOLDER --target T`` prints one JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click

ROUNDS = 20
"""Samples of each side, in turns."""

_SAMPLE_SECONDS = 0.004


@click.command()
@click.argument("text")
@click.option("--log", type=click.Path(path_type=Path), required=True)
@click.option("--folder", type=click.Path(path_type=Path), required=True)
@click.option("--target", required=True)
@click.option("--compile/--no-compile", "compiled", default=True, help="Whether torch.compile takes part.")
def main(text: str, log: Path, folder: Path, target: str, compiled: bool) -> None:
    """Time one operator on every side and print the seconds."""
    import torch

    from scripts.bench.devices import metaschedule
    from scripts.bench.devices.problems import torch_calls
    from scripts.bench.problems import problem_of
    from search_space.tvm_api import tvm, tvm_ffi
    from tuner.workloads import named_workload

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    workload, resolved = named_workload(text), tvm.target.Target(json.loads(target))
    inputs = [
        torch.rand(s.shape, device="cuda").sub(0.5).to(getattr(torch, s.dtype)) for s in workload.inputs
    ]

    calls: dict[str, Callable[[], Any]] = {}
    errors: dict[str, float] = {}
    ways = torch_calls(text, dict(problem_of(text).values), inputs)
    wanted = next(iter(ways.values()))()
    for name, call in ways.items():
        calls[f"torch {name}"] = call
        if compiled:
            calls[f"compiled {name}"] = torch.compile(call)

    def add(name: str, function: Any) -> None:
        outputs = [
            torch.empty(s.shape, device="cuda", dtype=getattr(torch, s.dtype)) for s in workload.outputs
        ]
        arguments = [tvm_ffi.from_dlpack(t) for t in (*inputs, *outputs)]
        function(*arguments)
        torch.cuda.synchronize()
        found = outputs[0].float()
        reference = wanted.movedim(1, -1) if wanted.dim() == 4 else wanted
        reference = reference.reshape(found.shape).float()
        errors[name] = float((found - reference).abs().max() / reference.abs().max())
        calls[name] = lambda: function(*arguments)

    ours, source = _ours(workload, resolved, log)
    add("tirtune", ours)
    theirs, trials = metaschedule.best(folder, text, resolved)
    if theirs is not None:
        add("metaschedule", theirs["main"])
    print(
        json.dumps(
            {
                "workload": text,
                "flops": workload.flops,
                "seconds": _times(calls),
                "max_rel_error": errors,
                "source": source,
                "metaschedule_trials": trials,
            }
        )
    )


def _ours(workload: Any, target: Any, log: Path) -> tuple[Any, str]:
    """Return our kernel as a compiled model would contain it, and where its schedule comes from."""
    from search_space.kinds import space_of
    from search_space.tvm_api import IRModule
    from tuner.choice import Chooser, open_records
    from tuner.measure.cuda.build import build_device
    from tuner.measure.cuda.device_kernel import load_code

    with open_records([str(log)] if log.exists() else []) as stores:
        choice = Chooser(target, stores)(workload)
    module = IRModule({"main": (choice.func or workload.func).with_attr("global_symbol", "main")})
    if choice.func is None:
        module = space_of(str(target.kind.name)).untuned(module)
    return load_code(build_device(module, target).code)["main"], choice.source


def _times(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    import torch

    numbers: dict[str, int] = {}
    for name, call in calls.items():
        for _ in range(3):
            call()
        numbers[name] = max(1, int(_SAMPLE_SECONDS / max(_sample(torch, call, 3), 1e-6)))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            samples[name].append(_sample(torch, call, numbers[name]))
    return {name: median(values) for name, values in samples.items()}


def _sample(torch: Any, call: Callable[[], Any], number: int) -> float:
    """Return seconds per call by the device's events."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(number):
        call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) * 1e-3 / number


if __name__ == "__main__":
    main()
