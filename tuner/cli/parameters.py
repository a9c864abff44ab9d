"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from tuner.options import MOST_SEED, MOST_THREADS

Command = TypeVar("Command", bound=Callable[..., Any])

COUNT = click.IntRange(min=1)
SEED = click.IntRange(0, MOST_SEED)
THREADS = click.IntRange(1, MOST_THREADS)

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|min|s|m|h|d)")


class Duration(click.ParamType[float]):
    """A time such as ``90``, ``90s``, ``10m``, ``1h30m``; read as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        text = str(value).strip().replace(" ", "")
        if text.replace(".", "", 1).isdigit():
            text += "s"
        parts = _PART.findall(text)
        if not text or "".join(number + unit for number, unit in parts) != text:
            self.fail(f"{value!r} is not a duration: write 90s, 10m or 1h30m", param, ctx)
        total = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if total <= 0:
            self.fail(f"{value!r} must be longer than nothing: write 90s, 10m or 1h30m", param, ctx)
        return total


class InputShape(click.ParamType[tuple[str, tuple[int, ...]]]):
    """The shape of an input, such as ``image=1,3,224,224``."""

    name = "name=shape"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        """Return name and extents."""
        if isinstance(value, tuple):
            return value
        name, separator, shape = str(value).rpartition("=")
        words = shape.split(",")
        if not separator or not name or not all(w.strip().isdigit() and int(w) > 0 for w in words):
            self.fail(
                f"{value!r} is not NAME=SHAPE with positive extents, such as image=1,3,224,224", param, ctx
            )
        return name, tuple(int(word) for word in words)


def with_workloads(required: bool = True) -> Callable[[Command], Command]:
    """Add the argument ``WORKLOAD...``."""
    return click.argument("workloads", metavar="WORKLOAD...", nargs=-1, required=required)


def with_json(command: Command) -> Command:
    """Add ``--json``."""
    text = "Print one JSON object on standard output; everything else goes to standard error."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def with_debug(command: Command) -> Command:
    """Add ``--debug``, which :func:`tuner.cli.main.run` looks for itself."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")(
        command
    )


def with_records(required: bool) -> Callable[[Command], Command]:
    """Add ``--records LOG``, which may be given several times."""
    return click.option(
        "--records",
        "-r",
        metavar="LOG",
        multiple=True,
        required=required,
        help="A log, a database file or a URL with measurements; may be given several times.",
    )


def with_machine(command: Command) -> Command:
    """Add ``--target`` and ``--threads``."""
    command = click.option(
        "--threads",
        type=THREADS,
        metavar="N",
        help="Threads that kernels use; every CPU of this process when absent.",
    )(command)
    return click.option(
        "--target",
        metavar="T",
        help="TVM target, such as 'llvm -mcpu=skylake-avx512'; this machine when absent.",
    )(command)


def with_input_shapes(command: Command) -> Command:
    """Add ``--input-shape``."""
    return click.option(
        "--input-shape",
        "input_shapes",
        type=InputShape(),
        multiple=True,
        metavar="NAME=SHAPE",
        help="Fix an input that the model leaves open, such as image=1,3,224,224; may be repeated.",
    )(command)


def shapes_of(pairs: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    """Return the given shapes by input.

    Raises:
        UserError: If an input is given two shapes.
    """
    from tuner.errors import UserError

    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in pairs:
        if name in shapes:
            raise UserError(f"--input-shape gives {name!r} two shapes: {shapes[name]} and {shape}")
        shapes[name] = shape
    return shapes
