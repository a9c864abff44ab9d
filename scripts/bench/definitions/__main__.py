"""Writes the benchmark's networks to ONNX files."""

from __future__ import annotations

from pathlib import Path

import click
import onnx

from scripts.bench.definitions import NETWORKS, PARTS


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*NETWORKS, *PARTS]))
@click.option("--out", type=click.Path(path_type=Path), default=Path(), help="Folder for the files.")
@click.option("--batch", default=1, show_default=True, help="Batch size.")
def main(names: tuple[str, ...], out: Path, batch: int) -> None:
    """Write NAMES (all of them when none is given) as ONNX files."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names or tuple(NETWORKS):
        path = out / (f"{name}.onnx" if batch == 1 else f"{name}_batch{batch}.onnx")
        onnx.save({**NETWORKS, **PARTS}[name](batch), str(path))
        click.echo(str(path))


if __name__ == "__main__":
    main()
