"""Reads ``operator:arguments`` and builds the workload it names."""

from __future__ import annotations

from search_space.tvm_api import te
from search_space.workload import Workload, workload_of
from tuner.errors import UserError
from tuner.workloads.convolution import out_extent
from tuner.workloads.operators import OPERATORS, Operator


def is_named(spec: str) -> bool:
    """Report whether a text has the form of a named operator: a word, a colon, numbers."""
    head, colon, tail = spec.partition(":")
    return bool(colon) and head.isidentifier() and (tail[:1] in "-+" or tail[:1].isdigit() or not tail)


def named_workload(spec: str) -> Workload:
    """Build the workload that a command-line word names.

    Args:
        spec: ``operator:numbers``, and ``dtype=name`` may follow, such as ``gmm:1,64,64,64,dtype=int8``.

    Returns:
        The workload, called by its full text.

    Raises:
        UserError: If operator, argument count, an argument or the dtype is not possible.
    """
    name, _, tail = spec.strip().partition(":")
    operator = OPERATORS.get(name)
    if operator is None:
        raise UserError(f"unknown operator {name!r} in {spec!r}: known are {', '.join(OPERATORS)}")
    words = [word.strip() for word in tail.split(",")] if tail.strip() else []
    given = [word.split("=", 1) for word in words if "=" in word]
    options = dict(given)
    values = _values(spec, operator, [word for word in words if "=" not in word])
    dtype = options.pop("dtype", "float32")
    if options:
        raise UserError(
            f"unknown option {next(iter(options))!r} in {spec!r}: only dtype= may follow the numbers"
        )
    if len(given) > 1:
        raise UserError(f"{spec!r} gives dtype more than once: say it once")
    if dtype not in operator.types:
        raise UserError(
            f"dtype {dtype!r} in {spec!r} is not one that {name} has: use {', '.join(operator.types)}"
        )
    _check(spec, values)
    func = te.create_prim_func(operator.build(values, operator.types[dtype]))
    if operator.finish is not None:
        func = operator.finish(func)
    return workload_of(func, _canonical(operator, values, dtype))


def _values(spec: str, operator: Operator, words: list[str]) -> dict[str, int]:
    required = sum(a.default is None for a in operator.arguments)
    if not required <= len(words) <= len(operator.arguments):
        most = f" to {len(operator.arguments)}" if len(operator.arguments) > required else ""
        raise UserError(
            f"{spec!r} has {len(words)} arguments, {operator.name} takes {required}{most}: {operator.usage}"
        )
    values: dict[str, int] = {}
    for index, argument in enumerate(operator.arguments):
        if index >= len(words):
            assert argument.default is not None
            values[argument.name] = argument.default
            continue
        try:
            value = int(words[index])
        except ValueError as error:
            raise UserError(
                f"{argument.name} in {spec!r} is {words[index]!r}, not a whole number: {operator.usage}"
            ) from error
        if value < argument.minimum:
            raise UserError(f"{argument.name} in {spec!r} is {value}: it must be at least {argument.minimum}")
        values[argument.name] = value
    return values


def _check(spec: str, values: dict[str, int]) -> None:
    groups = values.get("groups", 1)
    for name in ("in_channels", "out_channels"):
        if values.get(name, groups) % groups:
            raise UserError(f"{name} in {spec!r} is {values[name]}: groups={groups} must divide it")
    transposed = spec.lstrip().startswith("t2d")
    for name in ("length", "depth", "height", "width"):
        if name not in values or "kernel" not in values:
            continue
        extent, kernel, padding = values[name], values["kernel"], values["padding"]
        if transposed:
            size = (extent - 1) * values["stride"] - 2 * padding + kernel
        else:
            size = out_extent(extent, kernel, values["stride"], 2 * padding, values.get("dilation", 1))
        if size < 1:
            raise UserError(
                f"{name} in {spec!r} is {extent}: kernel={kernel} with padding={padding} leaves no output"
            )


def _canonical(operator: Operator, values: dict[str, int], dtype: str) -> str:
    shown = [values[a.name] for a in operator.arguments]
    while operator.arguments[len(shown) - 1].default == shown[-1]:
        shown.pop()
    return f"{operator.name}:{','.join(map(str, shown))}" + ("" if dtype == "float32" else f",dtype={dtype}")
