"""Every float32 there is, one function at a time (about two minutes each)."""

import numpy as np
import pytest
from float_error import ulp_error
from scipy import special

from search_space.hardware import resolve_target
from search_space.numerics import vectorise_transcendentals
from search_space.tvm_api import Schedule, te, tvm

pytestmark = [pytest.mark.tvm, pytest.mark.slow]

CHUNK = 1 << 24
FUNCTIONS = {
    "exp": (te.exp, np.exp),
    "log": (te.log, np.log),
    "tanh": (te.tanh, np.tanh),
    "erf": (te.erf, special.erf),
    "sigmoid": (te.sigmoid, special.expit),
    "rsqrt": (te.rsqrt, lambda x: 1 / np.sqrt(x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_float32(name):
    function, exact = FUNCTIONS[name]
    source = te.placeholder((CHUNK,), name="A")
    schedule = Schedule(
        te.create_prim_func([source, te.compute((CHUNK,), lambda i: function(source[i]), name="B")])
    )
    (loop,) = schedule.get_loops(schedule.get_sblock("B"))
    schedule.vectorize(schedule.split(loop, [None, 16])[1])
    executable = tvm.compile(vectorise_transcendentals(schedule.mod), target=resolve_target(None, 1))
    result = tvm.runtime.tensor(np.zeros(CHUNK, np.float32))
    worst = 0.0
    for start in range(0, 2**32, CHUNK):
        values = np.arange(start, start + CHUNK, dtype=np.uint64).astype(np.uint32).view(np.float32)
        executable["main"](tvm.runtime.tensor(values), result)
        with np.errstate(all="ignore"):
            worst = max(worst, float(ulp_error(result.numpy(), exact(values.astype(np.float64))).max()))
    assert worst <= 4.0
    print(f"{name}: {worst:.3f} units in the last place")
