"""Sketch rules and intrinsics from a user's own file: tried before ours, never instead of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from search_space.access import BlockInfo
from search_space.error_text import described
from search_space.generate import Rule, SketchState
from search_space.tensorize import Intrinsic, add_intrinsic
from search_space.user_files import FileRefused, run_file

MARK = "user."
"""Beginning of the word that a user's rule leaves in the names of its sketches."""


class RulesRefused(ValueError):
    """A file of rules cannot be used, or a rule failed; the message is one line."""


@lru_cache(maxsize=16)
def load_rules(place: str) -> tuple[Rule[Any], ...]:
    """Load a user's sketch rules.

    Args:
        place: ``path/to/file.py:NAME``; NAME is a rule (see :data:`search_space.generate.Rule`), an
            :class:`search_space.tensorize.Intrinsic`, or a sequence of them. Empty: no rules.

    Returns:
        The rules in the order given; their sketches have ``user.<function name>`` in their names.

    Raises:
        RulesRefused: If the file cannot be run or the name is not what it should be.
    """
    if not place:
        return ()
    path_text, _, name = place.rpartition(":")
    path = Path(path_text)
    if not path_text.endswith(".py") or not path.is_file() or not name:
        raise RulesRefused(f"cannot read rules {place!r}: write FILE.py:NAME of a file that exists")
    try:
        value = getattr(run_file(path), name, None)
    except FileRefused as error:
        raise RulesRefused(str(error)) from error
    values = tuple(value) if isinstance(value, Sequence) else (value,)
    rules = [v for v in values if not isinstance(v, Intrinsic)]
    if value is None or not values or not all(callable(rule) for rule in rules):
        raise RulesRefused(
            f"{path_text} defines no rules {name!r}: it must be a function or an Intrinsic, or several"
        )
    for intrinsic in values:
        if isinstance(intrinsic, Intrinsic):
            try:
                add_intrinsic(intrinsic)
            except ValueError as error:
                raise RulesRefused(f"{path_text}: {error}") from error
    return tuple(_marked(rule, path_text) for rule in rules)


def is_users(sketch: str) -> bool:
    """Report whether a sketch's name says that a user's rule took part."""
    return MARK in sketch


def _marked(rule: Callable[..., Any], path: str) -> Rule[Any]:
    name = getattr(rule, "__name__", type(rule).__name__)

    def marked(state: SketchState[Any], block: BlockInfo) -> Sequence[SketchState[Any]]:
        try:
            derived = tuple(rule(state, block))
            return tuple(replace(new, label=(*new.label, f"{MARK}{name}")) for new in derived)
        except Exception as error:
            raise RulesRefused(
                f"{path}: rule {name}, at block {block.name}, raised {described(error)}"
            ) from error

    return marked
