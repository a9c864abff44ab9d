"""Golden GPU sketches: one fixed candidate of each, as TVMScript beside its decisions.

``UPDATE_GOLDEN=1 pytest tests/gpu`` rewrites the files; look at the difference before you commit it.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from search_space.candidate import materialize, sketch_plan
from tests.gpu.programs import gpu_context

pytestmark = pytest.mark.tvm

FOLDER = Path(__file__).parent / "golden"
CASES = (
    ("gmm:1,64,64,64", "tiled"),
    ("cbr:1,8,8,16,32,3,1,1", "fused"),
    ("grp:1,8,8,16,32,3,1,1", "tiled"),
    ("gmm:1,64,64,128,dtype=float16", "wmma"),
    ("gmm:1,64,64,128,dtype=float16", "mma"),
    ("gmm:1,16,16,512,dtype=float16", "split4-mma"),
    ("byte product", "mma"),
    ("sfm:32,64", "rows"),
    ("nrm:1,64,64", "shared"),
    ("t2d:1,4,4,16,16,4,2,1", "tiled"),
    ("few sums", "shared"),
    ("scaled", "plain"),
)


@pytest.mark.parametrize(("spec", "name"), CASES)
def test_a_fixed_candidate_looks_as_it_did(spec: str, name: str) -> None:
    context = gpu_context(spec)
    sketch = context.sketches[name]
    row = sketch.sample(np.random.default_rng(20), 1)[0]
    lines = [f"# {spec} {name}"]
    for slot, index in zip(sketch.space.slots, row, strict=True):
        lines.append(f"# {slot.name} = {slot.table[index].tolist()}")
    module = materialize(context, sketch_plan(sketch, row)).module
    text = "\n".join(lines) + "\n" + module.script() + "\n"
    path = FOLDER / (
        f"{spec}.{name}".replace(":", "_").replace(",", "x").replace("=", "-").replace(" ", "_") + ".txt"
    )
    if os.environ.get("UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text
