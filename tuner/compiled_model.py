"""A compiled model: run it, time it, save it, load it. Loading needs none of the tuner's search."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.artifact import append, check_place, read
from tuner.cpu_features import missing_features
from tuner.errors import JobFailed, UserError
from tuner.placement import beside_workers
from tuner.runners import Runner, StraightRunner, VirtualMachineRunner, Watch
from tuner.straight_program import StraightProgram
from tuner.tensor_place import Place, place_of
from tuner.tensor_spec import TensorSpec

_pool_threads: int | None = None
"""Threads of this process's pool once a model has run; TVM cannot change them afterwards."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where the schedule of one task comes from.

    Attributes:
        name: The workload's readable name.
        key: The workload's look-up key.
        calls: Calls in one run of the model.
        source: ``tuned``, ``predicted`` or ``default``.
        reason: Why not something better, or which record.
        seconds: Expected time of one call, if known.
        share: Part of the model's time, if the time of every task is known.
    """

    name: str
    key: str
    calls: int
    source: str
    reason: str
    seconds: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Times of whole runs, in seconds.

    Attributes:
        runs_seconds: Every run in order.
        minimum: The fastest.
        median: The middle one.
        low: 2.5th percentile of the bootstrapped median.
        high: 97.5th percentile of the bootstrapped median.
    """

    runs_seconds: tuple[float, ...]
    minimum: float
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Description:
    """What a compiled model knows of itself; saved with it.

    Attributes:
        name: The model's name.
        target: TVM target as canonical JSON.
        threads: Threads that kernels use.
        machine: Machine type, such as ``x86_64``.
        features: Instruction sets that the code may use, as /proc/cpuinfo names them.
        inputs: Parameters in order.
        outputs: Results in order.
        coverage: One entry per task.
        program: What ``main`` does; ``None`` if TVM's virtual machine runs it.
    """

    name: str
    target: str
    threads: int
    machine: str
    features: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    coverage: tuple[Coverage, ...]
    program: StraightProgram | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Description:
        """Rebuild what :meth:`to_dict` returned.

        Raises:
            KeyError: If a field is missing.
            TypeError: If an entry has an unknown field.
        """

        def tensors(items: Any) -> tuple[TensorSpec, ...]:
            return tuple(TensorSpec(item["name"], tuple(item["shape"]), item["dtype"]) for item in items)

        return Description(
            name=values["name"],
            target=values["target"],
            threads=int(values["threads"]),
            machine=values["machine"],
            features=tuple(values["features"]),
            inputs=tensors(values["inputs"]),
            outputs=tensors(values["outputs"]),
            coverage=tuple(Coverage(**item) for item in values["coverage"]),
            program=None if values["program"] is None else StraightProgram.from_dict(values["program"]),
        )


class CompiledModel:
    """A model as machine code.

    Args:
        executable: What ``tvm.compile`` returned, or a loaded runtime module.
        description: Inputs, outputs, threads, coverage.
        weights: What ``main`` takes besides the inputs: one block of bytes if the description has a
            program, else the arrays of a tuple, which is not passed when empty.
    """

    def __init__(
        self, executable: Any, description: Description, weights: Sequence[NDArray[Any]] = ()
    ) -> None:
        self.description = description
        self._executable = executable
        self._weights = tuple(weights)
        self._place: Place | None = None
        self._runner: Runner | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The parameters of :meth:`run` in order."""
        return self.description.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The results of :meth:`run` in order."""
        return self.description.outputs

    @property
    def coverage(self) -> tuple[Coverage, ...]:
        """Per task: tuned, predicted or default, and why."""
        return self.description.coverage

    @property
    def threads(self) -> int:
        """Threads that kernels use."""
        return self.description.threads

    def run(self, *arrays: Any) -> list[NDArray[Any]]:
        """Run the model once.

        Args:
            *arrays: NumPy arrays or anything with DLPack, one per input, with the input's shape and
                element type. Contiguous arrays that start on a cache line are not copied.

        Returns:
            One array per output, on a CPU without a copy.

        Raises:
            UserError: If number, shape or element type do not match.
        """
        tensors = self.run_tensors(*arrays)
        return [self._placed().give(tensor) for tensor in tensors]

    def run_tensors(self, *arrays: Any) -> list[Any]:
        """Do what :meth:`run` does but return TVM tensors, which DLPack hands on without a copy."""
        return self._started().run(self._arguments(arrays))

    def benchmark(self, repeats: int = 20, *arrays: Any, warmup: int = 3, seed: int = 0) -> Statistics:
        """Time whole runs.

        Args:
            repeats: Number of timed runs, at least 1.
            *arrays: Inputs; drawn at random when absent.
            warmup: Runs before the clock starts.
            seed: Seed of random inputs and of the bootstrap.

        Returns:
            The times.

        Raises:
            UserError: If ``repeats`` is not positive or the inputs do not match.
        """
        if repeats < 1:
            raise UserError(f"repeats is {repeats}: it must be at least 1")
        random = np.random.default_rng(seed)
        arguments = self._arguments(arrays or tuple(random_input(tensor, random) for tensor in self.inputs))
        runner = self._started()
        for _ in range(warmup):
            runner.run(arguments)
            self._placed().wait()
        runs: list[float] = []
        with beside_workers():
            for _ in range(repeats):
                start = time.perf_counter()
                runner.run(arguments)
                self._placed().wait()
                runs.append(time.perf_counter() - start)
        middles = np.median(random.choice(runs, (1000, len(runs))), axis=1)
        low, high = np.quantile(middles, (0.025, 0.975))
        return Statistics(tuple(runs), min(runs), median(runs), float(low), float(high))

    def save(self, path: str | Path) -> Path:
        """Write one shared library with code, weights and description.

        Args:
            path: The file; its folder must exist.

        Returns:
            The path.

        Raises:
            UserError: If the file cannot be written.
            JobFailed: If no C compiler is there to link, or linking failed.
        """
        path = Path(path)
        check_place(path)
        temporary = path.with_name(path.name + ".part.so")
        try:
            self._executable.export_library(str(temporary))
            append(temporary, self._weights, self.description.to_dict())
            temporary.replace(path)
        except OSError as error:
            raise UserError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
        except (RuntimeError, ValueError) as error:
            from search_space.error_text import last_line

            raise JobFailed(
                f"cannot link {str(path)!r}: {last_line(error)} (linking needs a C++ compiler such as g++)"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return path

    @contextmanager
    def instrumented(self, watch: Watch) -> Iterator[None]:
        """Have every call of a kernel announced, before and after it."""
        with self._started().instrumented(watch):
            yield

    def _started(self) -> Runner:
        if self._runner is None:
            _fix_threads(self.threads)
            program, place = self.description.program, self._placed()
            weights = [place.take(array) for array in self._weights]
            if program is None:
                self._runner = VirtualMachineRunner(self._executable, place.device, weights)
            else:
                self._runner = StraightRunner(self._executable, program, weights[0], self.outputs)
        return self._runner

    def _arguments(self, arrays: tuple[Any, ...]) -> list[Any]:
        if len(arrays) != len(self.inputs):
            names = ", ".join(tensor.name for tensor in self.inputs)
            raise UserError(
                f"{self.description.name} takes {len(self.inputs)} inputs ({names}), got {len(arrays)}"
            )
        place = self._placed()
        return [_to_tensor(value, wanted, place) for value, wanted in zip(arrays, self.inputs, strict=True)]

    def _placed(self) -> Place:
        if self._place is None:
            self._place = place_of(self.description.target)
        return self._place


def load(path: str | Path) -> CompiledModel:
    """Load a compiled model in this process.

    Args:
        path: What :meth:`CompiledModel.save` wrote.

    Returns:
        The model.

    Raises:
        UserError: If the file is no compiled model, is damaged, or needs instructions that this CPU lacks.
    """
    import platform

    path = Path(path)
    values, weights = read(path)
    try:
        description = Description.from_dict(values)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{path} was written by another version of tirtune ({error}): compile it again"
        ) from error
    if description.machine != platform.machine():
        raise UserError(
            f"{path} was compiled for {description.machine}, this machine is {platform.machine()}"
        )
    missing = missing_features(description.features)
    if missing:
        raise UserError(
            f"{path} needs instructions that this CPU lacks ({', '.join(missing)}): "
            f"compile it for this machine; it was compiled for {description.target}"
        )
    from tvm import runtime

    return CompiledModel(runtime.load_module(str(path.resolve())), description, weights)


def random_input(tensor: TensorSpec, random: np.random.Generator) -> Any:
    """Draw an input: standard normal numbers, or zeros and ones for integers (valid indices)."""
    if tensor.dtype.startswith(("int", "uint")):
        return random.integers(0, 2, tensor.shape).astype(tensor.dtype)
    if tensor.dtype == "bool":
        return random.integers(0, 2, tensor.shape).astype(np.bool_)
    return random.standard_normal(tensor.shape).astype(tensor.dtype)


def _fix_threads(threads: int) -> None:
    global _pool_threads
    if _pool_threads is None:
        os.environ["TVM_NUM_THREADS"] = str(threads)
        _pool_threads = threads
    elif _pool_threads != threads:
        warnings.warn(
            f"this process already runs models with {_pool_threads} threads: "
            f"a model compiled for {threads} uses those; load it in a process of its own",
            RuntimeWarning,
            stacklevel=4,
        )


def _to_tensor(value: Any, wanted: TensorSpec, place: Place) -> Any:
    if isinstance(value, np.ndarray):
        _check(value.shape, str(value.dtype), wanted)
        return place.take(value)
    if not hasattr(value, "__dlpack__"):
        raise UserError(
            f"input {wanted.name} is a {type(value).__name__}: give a NumPy array or a DLPack tensor"
        )
    tensor = place.adopt(value)
    _check(tuple(int(extent) for extent in tensor.shape), str(tensor.dtype), wanted)
    return tensor


def _check(shape: tuple[int, ...], dtype: str, wanted: TensorSpec) -> None:
    if tuple(shape) != wanted.shape or dtype != wanted.dtype:
        raise UserError(
            f"input {wanted.name} must be {wanted.dtype}{list(wanted.shape)}, got {dtype}{list(shape)}"
        )
