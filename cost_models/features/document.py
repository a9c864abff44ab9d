"""Write the table of columns into ``docs/features.md``: ``python -m cost_models.features.document``."""

from __future__ import annotations

from pathlib import Path

from cost_models.features.columns import column_table

START, END = "<!-- columns -->\n", "<!-- end -->"


def updated(text: str) -> str:
    """Return a document with the table between the two markers replaced."""
    head, rest = text.split(START, 1)
    return head + START + column_table() + END + rest.split(END, 1)[1]


if __name__ == "__main__":
    document = Path(__file__).parents[2] / "docs" / "features.md"
    document.write_text(updated(document.read_text()))
