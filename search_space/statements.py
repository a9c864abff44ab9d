"""What the statements of a block do: buffers, arithmetic, library functions, conditions."""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import tirx, tvm, walk_types

_TRANSCENDENTAL = frozenset(
    [
        "exp",
        "exp2",
        "exp10",
        "log",
        "log2",
        "log10",
        "tanh",
        "erf",
        "sigmoid",
        "pow",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "sqrt",
        "rsqrt",
    ]
)
_CONDITIONAL = ("if_then_else", "likely")
_ARITHMETIC = (tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Max, tirx.Min)


class Survey:
    """One walk over a block's body.

    Args:
        body: The body.

    Attributes:
        loads: Name of each buffer that is read to the buffer and the indices of every read.
        stores: The same of each buffer that is written.
        flops: Arithmetic operations on data, index arithmetic left out.
        transcendentals: Calls of functions such as ``exp``.
        is_conditional: Whether a value depends on a condition.
    """

    def __init__(self, body: Any) -> None:
        self.loads: dict[str, tuple[Any, list[Any]]] = {}
        self.stores: dict[str, tuple[Any, list[Any]]] = {}
        self.flops = 0.0
        self.transcendentals = 0.0
        self.is_conditional = False
        walk_types(
            body,
            [
                (tvm.ir.TensorLoad, self._load),
                (tirx.BufferStore, self._store),
                (tvm.ir.Call, self._call),
                (tirx.Select, self._select),
                (_ARITHMETIC, self._arithmetic),
            ],
        )

    def _load(self, node: Any) -> None:
        self.loads.setdefault(str(node.source.name), (node.source, []))[1].append(list(node.indices))

    def _store(self, node: Any) -> None:
        self.stores.setdefault(str(node.buffer.name), (node.buffer, []))[1].append(list(node.indices))

    def _call(self, node: Any) -> None:
        name = str(getattr(node.op, "name", "")).rpartition(".")[2]
        self.transcendentals += name in _TRANSCENDENTAL
        self.is_conditional |= name in _CONDITIONAL

    def _select(self, _: Any) -> None:
        self.is_conditional = True

    def _arithmetic(self, node: Any) -> None:
        dtype = str(node.ty)
        self.flops += "float" in dtype or "int8" in dtype
