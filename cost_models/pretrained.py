"""The model that is shipped: weights, the card that says what they know, and when they apply."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.base import ModelError
from cost_models.boosters import BoosterSet, read_sets
from cost_models.features.columns import FEATURE_VERSION

if TYPE_CHECKING:
    from search_space.hardware import Machine

KIND = "pretrained"
WEIGHTS_DIRECTORY = Path(__file__).parent / "weights"
WEIGHTS_FILE = "residual.npz"
CARD_FILE = "card.json"
_CACHE_FACTOR = 2.0
"""A cache of up to this times more or less counts as the same kind of machine."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What ranks candidates before anything was measured.

    Attributes:
        residual: Trees that predict ``log2(draft / measured)`` up to a constant of the task, or
            ``None``: the draft model alone.
        reason: One line for the user: what is used and why.
        card: The card of the weights; empty without weights.
    """

    residual: BoosterSet | None
    reason: str
    card: dict[str, Any]


def load_pretrained(hardware: Machine, directory: Path = WEIGHTS_DIRECTORY, threads: int = 1) -> Pretrained:
    """Load the weights if they exist and know this kind of machine.

    Args:
        hardware: The machine.
        directory: Where weights and card lie.
        threads: Threads of predictions.

    Returns:
        The weights, or none with the reason; a damaged or foreign file is a reason, never an error.
    """
    weights, card_path = directory / WEIGHTS_FILE, directory / CARD_FILE
    if not weights.exists() or not card_path.exists():
        return _draft(f"no pre-trained weights in {directory}")
    try:
        card = json.loads(card_path.read_text())
        machines = [dict(machine) for machine in card["hardware"]]
        version = int(card["feature_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _draft(f"{card_path} is damaged ({error})")
    if version != FEATURE_VERSION:
        return _draft(
            f"pre-trained weights are of feature version {version}, this program computes {FEATURE_VERSION}"
        )
    known = [machine for machine in machines if _is_alike(hardware, machine)]
    if not known:
        names = ", ".join(str(machine.get("name", "?")) for machine in machines)
        return _draft(f"pre-trained weights know {names}; {hardware.name} is another kind of machine")
    try:
        sets, _ = read_sets(weights, KIND, threads)
        residual = sets["residual"]
    except (ModelError, KeyError) as error:
        return _draft(f"pre-trained weights cannot be read: {error}")
    return Pretrained(
        residual, f"pre-trained on {known[0].get('name', '?')}, applied to {hardware.name}", card
    )


def _draft(reason: str) -> Pretrained:
    return Pretrained(None, f"draft model: {reason}", {})


def _is_alike(hardware: Machine, machine: dict[str, Any]) -> bool:
    """Return whether vectors are the same and private caches similar; names and cores may differ."""
    try:
        limits = hardware.to_dict()
        if any(machine[name] != limits[name] for name in ("vector_bytes", "vector_registers")):
            return False
        pairs = [(machine[name], limits[name]) for name in ("l1_bytes", "l2_bytes")]
        return all(1 / _CACHE_FACTOR <= first / second <= _CACHE_FACTOR for first, second in pairs)
    except (KeyError, TypeError, ZeroDivisionError):
        return False
