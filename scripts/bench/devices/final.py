"""The last measurement: kernels of all sides in one process, run in turns.

``python -m scripts.bench.devices.final --target T`` reads lines such as ``{"text": "gmm:1,64,64,64", "log":
"run.jsonl", "folder": "ms"}`` and answers each by one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import click

ROUNDS = 20
"""Samples of each side, in turns."""

_SAMPLE_SECONDS = 0.004


@click.command()
@click.option("--target", required=True)
@click.option("--compile/--no-compile", "compiled", default=True, help="Whether torch.compile takes part.")
def main(target: str, compiled: bool) -> None:
    """Read questions as lines of JSON; time one operator on every side for each, and print the answer."""
    # The answers are all that may stand there: compilers print to it, too.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from scripts.bench.devices import metaschedule, problems  # noqa: F401
    from search_space.tvm_api import tvm

    # TVM first: it loads CUDA's runtime, which PyTorch then shares.
    resolved = tvm.target.Target(json.loads(target))
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.set_grad_enabled(False)
    for line in sys.stdin:
        question = json.loads(line)
        text = question["text"]
        try:
            answer = _answer(text, Path(question["log"]), Path(question["folder"]), resolved, compiled)
        except Exception as error:  # whatever one operator meets, the next one is asked for
            answer = {"error": _brief(error)}
        print(json.dumps({"workload": text, **answer}), file=answers, flush=True)
        if not _device_answers():
            return  # an illegal address breaks a process for good: the next question starts another


def _device_answers() -> bool:
    import torch

    try:
        torch.cuda.synchronize()
    except (RuntimeError, AssertionError):  # the latter from builds of PyTorch without CUDA
        return False
    return True


def _answer(text: str, log: Path, folder: Path, target: Any, compiled: bool) -> dict[str, Any]:
    import torch

    from scripts.bench.devices import metaschedule
    from tuner.workloads import named_workload

    torch.manual_seed(0)
    workload = named_workload(text)
    sides = Sides(text, workload, "cuda")
    sides.attempt("tirtune", lambda: _ours(workload, target, log))
    sides.attempt("metaschedule", lambda: metaschedule.best(folder, text, target))
    if compiled:
        sides.compile_fastest(lambda call: _sample(torch, call, 3))
    return {
        "flops": workload.flops,
        "seconds": _times(sides.calls),
        "max_rel_error": sides.errors,
        "source": sides.notes.get("tirtune"),
        "metaschedule_trials": sides.notes.get("metaschedule", 0),
        "broken": sides.broken,
    }


class Sides:
    """The ways to compute an operator on a device, all on the same inputs.

    Attributes:
        calls: Ways by name.
        errors: Largest deviation from PyTorch's result, relative to its largest element.
        notes: What a tuner says of its kernel.
        broken: Why a way is left out.
    """

    def __init__(self, text: str, workload: Any, device: str) -> None:
        import torch

        from scripts.bench.devices.problems import torch_calls
        from scripts.bench.problems import problem_of

        self._device, self._outputs = device, workload.outputs
        self._inputs = [
            torch.rand(s.shape, device=device).sub(0.5).to(getattr(torch, s.dtype)) for s in workload.inputs
        ]
        ways = torch_calls(text, dict(problem_of(text).values), self._inputs)
        self._wanted = next(iter(ways.values()))()
        self.calls: dict[str, Callable[[], Any]] = {f"torch {name}": call for name, call in ways.items()}
        self.errors: dict[str, float] = {}
        self.notes: dict[str, Any] = {}
        self.broken: dict[str, str] = {}

    def attempt(self, name: str, find: Callable[[], tuple[Any, Any]]) -> None:
        """Add a tuner's kernel; one that cannot be had or run is noted as broken.

        Args:
            name: The tuner.
            find: Returns a function of TVM (None without one) and a note.
        """
        try:
            function, self.notes[name] = find()
            if function is not None:
                self.add(name, function)
        except Exception as error:  # a side that fails must not take the others along
            self.broken[name] = _brief(error)

    def add(self, name: str, function: Any) -> None:
        """Run a kernel once, compare its output with PyTorch's, and add it."""
        import torch

        from search_space.tvm_api import tvm_ffi

        outputs = [
            torch.empty(s.shape, device=self._device, dtype=getattr(torch, s.dtype)) for s in self._outputs
        ]
        arguments = [tvm_ffi.from_dlpack(t) for t in (*self._inputs, *outputs)]
        function(*arguments)
        if self._device == "cuda":
            torch.cuda.synchronize()
        found = outputs[0].float()
        reference = self._wanted.movedim(1, -1) if self._wanted.dim() == 4 else self._wanted
        reference = reference.reshape(found.shape).float()
        self.errors[name] = float((found - reference).abs().max() / reference.abs().max())
        self.calls[name] = lambda: function(*arguments)

    def compile_fastest(self, seconds_of: Callable[[Callable[[], Any]], float]) -> None:
        """Add ``torch.compile`` of PyTorch's fastest way."""
        import torch

        eager = {name: call for name, call in self.calls.items() if name.startswith("torch ")}
        for call in eager.values():
            call()
        name = min(eager, key=lambda n: seconds_of(eager[n]))
        compiled = torch.compile(eager[name])
        try:
            compiled()
        except Exception as error:  # it needs a compiler and Triton, which a machine may lack
            self.broken["torch.compile"] = _brief(error)
        else:
            self.calls[name.replace("torch", "compiled", 1)] = compiled


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]


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
