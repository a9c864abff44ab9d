"""Run a function and its rewrite on the same inputs."""

import numpy as np

from search_space.tvm_api import IRModule, Schedule, structural_key, tvm

_TARGET = tvm.target.Target({"kind": "llvm", "opt-level": 0})
_RESULTS = {}


def run(func, seed=0):
    """Outputs of a PrimFunc, unscheduled; integers and floats are small, outputs start as NaN."""
    key = structural_key(func)
    if key not in _RESULTS:
        _RESULTS[key] = _run(func, seed)
    return _RESULTS[key]


def inputs(func, seed=0):
    """The arrays of a run: small integers and floats, outputs filled with what must not stay."""
    rng = np.random.default_rng(seed)
    written = output_positions(func)
    arrays = []
    for position, param in enumerate(func.params):
        shape, dtype = [int(e) for e in param.shape], str(param.dtype)
        if position in written:
            data = np.full(shape, np.nan if "float" in dtype else 77).astype(dtype)
        elif "float" in dtype:
            data = rng.uniform(-1, 1, shape).astype(dtype)
        else:
            data = rng.integers(0, 5, shape).astype(dtype)
        arrays.append(data)
    return arrays


def _run(func, seed):
    arrays = [tvm.runtime.tensor(a) for a in inputs(func, seed)]
    module = IRModule({"main": func.with_attr("global_symbol", "main")})
    tvm.compile(module, target=_TARGET)["main"](*arrays)
    return [arrays[p].numpy() for p in sorted(output_positions(func))]


def output_positions(func):
    from search_space.workload import workload_of

    return {i for i, a in enumerate(workload_of(func, "test").args) if a.is_output}


def check_same(func, rewritten, rtol=1e-5, atol=1e-5):
    """Same parameters, same results, and every schedule primitive accepts the result."""
    assert [([int(e) for e in p.shape], str(p.dtype)) for p in rewritten.params] == [
        ([int(e) for e in p.shape], str(p.dtype)) for p in func.params
    ]
    Schedule(IRModule({"main": rewritten}), debug_mask="all")
    for expected, got in zip(run(func), run(rewritten), strict=True):
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol)


def block_names(func):
    schedule = Schedule(IRModule({"main": func}))
    return [str(schedule.get(b).name_hint) for b in schedule.get_child_blocks(schedule.get_sblock("root"))]
