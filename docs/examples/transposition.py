"""A workload for the rule of blocked_transpose.py: ``docs/examples/transposition.py:transposition``."""

from tvm import te


def transposition(rows: int = 1024, columns: int = 1024):
    """Return a PrimFunc that writes the columns of a matrix as rows."""
    source = te.placeholder((columns, rows), name="A")
    return te.create_prim_func([source, te.compute((rows, columns), lambda i, j: source[j, i], name="D")])
