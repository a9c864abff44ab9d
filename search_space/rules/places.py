"""Values of a compute-location slot, and the annotation of blocks that always have a location."""

ROOT, TASK, BLOCK = 0, 1, 2
"""Once before the computation, once per parallel task, once per block of a task."""

KEPT = "tirtune.keep"
"""Annotation of blocks that are not inlined: a reduction would compute them again at every step."""
