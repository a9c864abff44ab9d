"""Takes a Relax module as it is, after checking that it can be compiled."""

from __future__ import annotations

from typing import Any

from search_space.tvm_api import IRModule, tvm
from tuner.errors import UserError
from tuner.frontends.program import Model
from tuner.tensor_spec import TensorSpec

relax = tvm.relax


def has_relax(module: IRModule) -> bool:
    """Report whether a module has a Relax ``main``."""
    return any(
        isinstance(func, relax.Function) and var.name_hint == "main" for var, func in module.functions.items()
    )


def from_relax(module: IRModule, name: str, outputs: tuple[str, ...] = ()) -> Model:
    """Describe a Relax module.

    Args:
        module: Its ``main`` takes and returns tensors with static shapes (or one tuple of them).
        name: Readable name.
        outputs: Names of the results; ``output0`` and so on when absent.

    Returns:
        The model.

    Raises:
        UserError: If an input or output is not a tensor with a static shape.
    """
    main = module["main"]
    inputs = tuple(_tensor(p.name, p.ty, name, "input") for p in main.params)
    returned = main.ret_ty
    fields = list(returned.fields) if hasattr(returned, "fields") else [returned]
    names = outputs if len(outputs) == len(fields) else tuple(f"output{i}" for i in range(len(fields)))
    results = tuple(_tensor(n, f, name, "output") for n, f in zip(names, fields, strict=True))
    return Model(name, module, inputs, results)


def _tensor(name: str, info: Any, model: str, role: str) -> TensorSpec:
    shape = getattr(info, "shape", None)
    if not isinstance(shape, relax.ShapeExpr):
        raise UserError(f"{model}: {role} {name} is not a tensor with a known shape ({info})")
    extents: list[int] = []
    for extent in shape.values:
        if not hasattr(extent, "value"):
            raise UserError(
                f"{model}: {role} {name} has the dynamic extent {extent}: "
                f"fix it with --input-shape {name}=1,3,224,224 (your numbers)"
            )
        extents.append(int(extent))
    return TensorSpec(str(name), tuple(extents), str(info.dtype))
