"""The sides of a comparison: one module each, loaded in a process of its own.

A side module has ``load(problem, arrays, options) -> list[Variant]``, which returns nothing where the
side has no such operator, and ``trivial() -> Callable`` for the cost of a call that does nothing. A variant
is one way the side can run the operator, such as a layout; the fastest right one represents the side.
"""

MODULES = {
    "tirtune": "scripts.bench.sides.tirtune",
    "metaschedule": "scripts.bench.sides.metaschedule",
    "torch": "scripts.bench.sides.torch",
    "onnxruntime": "scripts.bench.sides.onnxruntime",
    "openvino": "scripts.bench.sides.openvino",
}
"""Name of a side to its module; peers need not be installed."""
