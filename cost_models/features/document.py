"""Write the tables of columns into ``docs/features.md``: ``python -m cost_models.features.document``."""

from __future__ import annotations

from pathlib import Path

from cost_models.features.columns import COLUMNS, column_table
from cost_models.gpu.features import GPU_COLUMNS

TABLES = {"<!-- columns -->\n": COLUMNS, "<!-- gpu columns -->\n": GPU_COLUMNS}
END = "<!-- end -->"


def updated(text: str) -> str:
    """Return a document with the tables between the markers replaced."""
    for start, columns in TABLES.items():
        head, rest = text.split(start, 1)
        text = head + start + column_table(columns) + END + rest.split(END, 1)[1]
    return text


if __name__ == "__main__":
    document = Path(__file__).parents[2] / "docs" / "features.md"
    document.write_text(updated(document.read_text()))
