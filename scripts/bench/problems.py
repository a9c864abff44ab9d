"""The benchmark's problems: Ansor's operators (appendix C, batch 1), and sizes that do not divide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scripts.bench.problem import Problem, Spec
from tuner.errors import UserError
from tuner.workloads import named_workload
from tuner.workloads.operators import OPERATORS

SHAPES: Mapping[str, tuple[str, ...]] = {
    "c1d": ("1,256,64,128,3,2,1", "1,128,128,256,1,2,0", "1,64,256,256,5,1,2", "1,32,512,512,3,1,1"),
    "c2d": (
        "1,224,224,3,64,7,2,3",
        "1,56,56,64,64,1,1,0",
        "1,14,14,256,256,3,1,1",
        "1,7,7,512,512,3,1,1",
    ),
    "c3d": (
        "1,16,224,224,3,64,7,2,3",
        "1,16,56,56,64,64,1,1,0",
        "1,16,14,14,256,256,3,1,1",
        "1,16,7,7,512,512,3,1,1",
    ),
    "gmm": ("1,128,128,128", "1,512,32,512", "1,512,512,512", "1,1024,1024,1024"),
    "grp": ("1,56,56,64,128,3,2,1", "1,56,56,64,64,1,1,0", "1,14,14,256,256,3,1,1", "1,7,7,512,512,3,1,1"),
    "dil": (
        "1,224,224,3,64,7,2,3",
        "1,56,56,64,64,1,1,0",
        "1,14,14,256,256,3,1,1",
        "1,7,7,512,512,3,1,1",
    ),
    "dep": ("1,112,112,32,3,1,1", "1,112,112,64,3,2,1", "1,14,14,512,3,2,1", "1,7,7,1024,3,1,1"),
    "t2d": (
        "1,4,4,512,256,4,2,1",
        "1,8,8,256,128,4,2,1",
        "1,16,16,128,64,4,2,1",
        "1,32,32,64,3,4,2,1",
    ),
    "cap": (
        "1,16,16,32,32,3,2,1,4",
        "1,8,8,32,32,3,1,1,4",
        "1,16,16,8,16,3,2,1,4",
        "1,8,8,16,16,3,1,1,4",
    ),
    "nrm": ("1,256,256", "1,512,512", "1,1024,1024", "1,4096,4096"),
    "sfm": ("256,256", "512,512", "1024,1024", "2048,2048"),
    "cbr": (
        "1,224,224,3,64,7,2,3",
        "1,56,56,64,64,3,2,1",
        "1,28,28,128,256,1,2,0",
        "1,7,7,512,512,3,1,1",
    ),
    "tbg": ("1,128,12,64", "1,128,16,64", "1,64,12,128", "1,128,12,128"),
}
"""Operator to its four shapes, the batch in front where there is one."""

_GMM_SIZES = ("1,512,512,512", "1,768,768,768", "1,1024,1024,1024")
_AWKWARD = ("1,127,509,1021", "1,128,512,1024", "1,197,768,768", "1,200,768,768")


def _texts(operator: str, numbers: Sequence[str], tail: str = "") -> tuple[str, ...]:
    return tuple(f"{operator}:{n}{tail}" for n in numbers)


SUITES: Mapping[str, tuple[str, ...]] = {
    "first": tuple(f"{operator}:{shapes[0]}" for operator, shapes in SHAPES.items()),
    "all": tuple(text for operator, shapes in SHAPES.items() for text in _texts(operator, shapes)),
    "gmm": _texts("gmm", _GMM_SIZES),
    "awkward": _texts("gmm", _AWKWARD),
    "types": tuple(
        f"gmm:1,1024,1024,1024{tail}" for tail in ("", ",dtype=int8", ",dtype=bfloat16", ",dtype=float16")
    ),
    "long": tuple(f"{operator}:{SHAPES[operator][0]}" for operator in ("gmm", "c2d", "dep", "sfm")),
}
"""Names of suites: ``first`` is the first shape of each of the thirteen operators, ``all`` all four,
``awkward`` sizes that do not divide with the next even ones, ``types`` narrow element types, ``long``
the first shapes for long runs (one matmul, one convolution, one depthwise, one reduction)."""


def problem_of(text: str) -> Problem:
    """Read one problem.

    Raises:
        UserError: If the text is not a named operator with possible arguments.
    """
    workload = named_workload(text)
    name, _, tail = workload.name.partition(":")
    words = tail.split(",")
    numbers = [int(word) for word in words if "=" not in word]
    values = {a.name: a.default for a in OPERATORS[name].arguments if a.default is not None}
    values.update(zip((a.name for a in OPERATORS[name].arguments), numbers, strict=False))
    dtype = next((word.partition("=")[2] for word in words if word.startswith("dtype=")), "float32")
    inputs = tuple(Spec(a.name, a.shape, a.dtype) for a in workload.inputs)
    (output,) = workload.outputs
    return Problem(
        workload.name,
        name,
        values,
        dtype,
        inputs,
        Spec(output.name, output.shape, output.dtype),
        workload.flops,
    )


def problems_of(suites: Sequence[str]) -> list[Problem]:
    """List the problems of suites, operators and single texts, each once.

    Args:
        suites: Names of :data:`SUITES`, names of operators (all their shapes), or problem texts.

    Raises:
        UserError: If a word is none of them.
    """
    texts: list[str] = []
    for word in suites:
        if word in SUITES:
            texts += SUITES[word]
        elif word in SHAPES:
            texts += _texts(word, SHAPES[word])
        elif ":" in word:
            texts.append(word)
        else:
            raise UserError(
                f"unknown suite {word!r}: use {', '.join(SUITES)}, an operator ({', '.join(SHAPES)}) "
                "or a problem such as gmm:1,512,512,512"
            )
    return list({p.text: p for p in map(problem_of, texts)}.values())
