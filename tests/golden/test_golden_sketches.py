"""Golden sketches: the TVMScript of one fixed candidate of each, beside its decisions.

``UPDATE_GOLDEN=1 pytest tests/golden`` rewrites the files; look at the difference before you commit it.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from search_space.candidate import context_of, materialize, sketch_plan
from search_space.tvm_api import tvm
from tuner.workloads import named_workload

pytestmark = pytest.mark.tvm

HERE = Path(__file__).parent
TARGET = {"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2}
WITH_DOT_PRODUCTS = {**TARGET, "mcpu": "znver4"}
CASES = (
    ("gmm:1,64,64,64", "tiled"),
    ("gmm:1,13,17,29", "tiled"),
    ("c2d:1,8,8,16,32,3,1,1", "tiled"),
    ("c2d:1,8,8,16,32,3,1,1", "inline.padded-tiled"),
    ("c2d:1,8,8,16,32,1,1,0", "rows-tiled"),
    ("cbr:1,8,8,16,32,3,1,1", "fused"),
    ("grp:1,8,8,16,32,3,1,1", "tiled"),
    ("c2d:1,48,48,3,16,7,2,3", "winograd4.4-tilerows"),
    ("grp:1,8,8,64,64,3,1,1", "winograd2-tiled"),
    ("t2d:1,4,4,16,16,4,2,1", "tiled"),
    ("t2d:1,4,4,16,16,4,2,1", "winograd2.phases-tiled"),
    ("gmm:1,127,100,29", "overlap-i.2x64-j.7x16-fused"),
    ("t2d:1,4,16,6,3,4,2,1", "tiled.rows"),
    ("tbg:1,32,16,32", "tiled"),
    ("sfm:32,64", "rows"),
    ("sfm:32,64", "scaled-rows"),
    ("sfm:1024,1024", "scaled-rows"),
    ("sfm:12,49", "scaled16-rows"),
    ("sfm:2,8192", "online1024-rows"),
    ("layernorm:2,8192", "moments1024-rows"),
    ("nrm:1,64,64", "factored"),
    ("nrm:1,9,49", "tails16-factored-factored"),
    ("gmm:1,32,64,64,dtype=int8", "tiled.vnni_u8s8"),
    ("gmm:1,7,33,13,dtype=bfloat16", "fit.pad-tiled.bf16"),
)


def decided(spec: str, name: str) -> str:
    """Schedule the middle valid candidate of a sketch and print decisions and program."""
    context = context_of(
        named_workload(spec), tvm.target.Target(TARGET if "dtype" not in spec else WITH_DOT_PRODUCTS)
    )
    sketch = context.sketches[name]
    row = sketch.sample(np.random.default_rng(20), 1)[0]
    lines = [f"# {spec} {name}"]
    for slot, index in zip(sketch.space.slots, row, strict=True):
        lines.append(f"# {slot.name} = {slot.table[index].tolist()}")
    module = materialize(context, sketch_plan(sketch, row)).module
    return "\n".join(lines) + "\n" + module.script() + "\n"


@pytest.mark.parametrize(("spec", "name"), CASES)
def test_a_fixed_candidate_looks_as_it_did(spec: str, name: str) -> None:
    words = f"{spec}.{name}".replace(":", "_").replace(",", "x")
    path = HERE / f"{words}.txt"
    text = decided(spec, name)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text
