"""Values of a compute-location slot."""

ROOT, TASK, BLOCK = 0, 1, 2
"""Once before the computation, once per parallel task, once per block of a task."""
