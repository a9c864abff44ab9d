"""Describe measured candidates anew: ``python -m scripts.describe_dataset SOURCE TARGET``.

Files of ``scripts/collect_dataset.py`` hold the decisions of every candidate, so features and draft of
another feature version need no new measurements: they are computed again from the decisions. A file
whose sketches this program no longer makes is refused and named. A sketch may keep its name and its
decisions while what it computes changes: its times are old then, and ``--drop WORD`` leaves out the
candidates of all sketches with that word in their names.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from cost_models.describe import describe
from cost_models.features import COLUMNS, FEATURE_VERSION
from scripts.network_layers import workload_of_text
from search_space.candidate import Context, context_of
from search_space.hardware import resolve_target


def describe_plans(context: Context, plans: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Compute the features of sketch plans, all candidates of a sketch at once.

    Args:
        context: The workload and its sketches.
        plans: Decisions of [N] candidates.

    Returns:
        [N, F] features and [N] draft seconds.

    Raises:
        ValueError: If a sketch is unknown or has other slots.
    """
    features = np.zeros((len(plans), len(COLUMNS)), np.float32)
    draft = np.zeros(len(plans))
    names = np.array([plan["sketch"] for plan in plans])
    for name in np.unique(names):
        sketch = context.sketches.get(str(name))
        places = np.flatnonzero(names == name)
        rows = np.array([plans[place]["row"] for place in places], np.int32)
        if sketch is None or rows.shape[1] != len(sketch.space.slots):
            raise ValueError(f"sketch {str(name)!r} is not made any more, or has other decisions")
        features[places], draft[places] = describe(sketch.nests(rows), context.hardware)
    return features, draft


def describe_file(source: Path, target: Path, drop: Sequence[str] = ()) -> int:
    """Write a copy of a data file with features and draft of this program.

    Args:
        source: A file with ``plans``.
        target: File to write; none is written if no candidate is left.
        drop: Words in the names of sketches whose candidates are left out.

    Returns:
        How many candidates it holds.

    Raises:
        ValueError: If its sketches are not made any more.
    """
    with np.load(source, allow_pickle=False) as archive:
        arrays = dict(archive)
    plans = [json.loads(plan) for plan in arrays["plans"]]
    kept = np.array([not any(word in plan["sketch"] for word in drop) for plan in plans])
    plans = [plan for plan, keep in zip(plans, kept, strict=True) if keep]
    if not plans:
        return 0
    for name in ("plans", "groups", "measured_seconds"):
        arrays[name] = arrays[name][kept]
    context = context_of(workload_of_text(str(arrays["workloads"][0])), resolve_target())
    arrays["features"], arrays["draft_seconds"] = describe_plans(context, plans)
    arrays["columns"] = np.array([column.name for column in COLUMNS])
    arrays["feature_version"] = np.array(FEATURE_VERSION)
    with target.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return len(plans)


@click.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option("--drop", multiple=True, metavar="WORD", help="Leave out sketches with this in their names.")
def main(source: Path, target: Path, drop: tuple[str, ...]) -> None:
    """Describe all files of SOURCE anew and write them into TARGET."""
    target.mkdir(parents=True, exist_ok=True)
    refused = 0
    for path in sorted(source.glob("*.npz")):
        try:
            describe_file(path, target / path.name, drop)
        except ValueError as error:
            refused += 1
            click.echo(f"{path}: {error}; left out", err=True)
    click.echo(f"{len(list(target.glob('*.npz')))} files in {target}, {refused} left out", err=True)
    sys.exit(1 if refused else 0)


if __name__ == "__main__":
    main()
