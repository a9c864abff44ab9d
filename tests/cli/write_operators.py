"""Writes docs/operators.md from the table of named operators: ``python tests/cli/write_operators.py``."""

from pathlib import Path

from tuner.workloads import OPERATORS

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"

HEAD = """# Named operators

Written `operator:numbers` wherever a workload is expected, such as `gmm:1,512,512,512` or
`c2d:1,14,14,256,256,3,1,1`. Numbers in brackets may be left out. `dtype=` may follow, such as
`gmm:1,64,64,64,dtype=int8`; `float32` when absent. Half precision is summed in `float32`, `int8`
multiplies unsigned by signed and sums in `int32`. Activations have their channels last.

| operator | computes | element types |
| --- | --- | --- |
"""


def page():
    rows = [
        f"| `{operator.usage}` | {operator.summary} | {', '.join(operator.types)} |"
        for operator in OPERATORS.values()
    ]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
