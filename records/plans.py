"""Identity of a plan: the canonical JSON of a value and the keys made from it.

A plan says how to schedule a workload: ``{"kind": "default"}``, ``{"kind": "sketch", "sketch": name,
"row": [...]}`` or ``{"kind": "trace", "base": program or null, "trace": [...]}``.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Mapping
from typing import Any

import msgspec


def plain_value(value: Any) -> Any:
    """Turn a NumPy or TVM number into a Python one; for encoders.

    Raises:
        NotImplementedError: If it is something else.
    """
    if hasattr(value, "__index__"):
        return operator.index(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be stored as JSON")


_CANONICAL = msgspec.json.Encoder(enc_hook=plain_value, order="deterministic")


def canonical_bytes(value: Any) -> bytes:
    """Return a value as JSON whose bytes depend on the value only (keys sorted)."""
    return _CANONICAL.encode(value)


def digest(data: bytes) -> str:
    """Return 16 hexadecimal digits that identify some bytes."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def plan_key(plan: Mapping[str, Any]) -> str:
    """Return the identity of a plan: equal plans have equal keys in every process and version.

    Args:
        plan: A plan; NumPy integers count as integers.

    Returns:
        The kind and a digest of the canonical JSON, such as ``sketch:0f3a5c7e9b1d2f48``.
    """
    kind = str(plan.get("kind", "unknown"))[:32]
    return kind if kind == "default" else f"{kind}:{digest(canonical_bytes(dict(plan)))}"


def base_key(program: str) -> str:
    """Return the key under which a rewritten base program is stored."""
    return f"base:{digest(program.encode())}"


def stored_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record keeps in its ``plan`` field, as plain JSON values.

    The program and the trace of a trace plan are large; a record keeps them in ``base`` and ``trace``.
    """
    if plan.get("kind") == "trace":
        return {"kind": "trace"}
    return dict(msgspec.json.decode(canonical_bytes(dict(plan))))
