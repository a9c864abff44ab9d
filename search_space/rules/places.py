"""Values of a compute-location slot, and annotations of blocks that say where they are computed."""

ROOT, TASK, BLOCK = 0, 1, 2
"""Once before the computation, once per parallel task, once per block of a task."""

KEPT = "tirtune.keep"
"""Annotation of blocks that are not inlined: a reduction would compute them again at every step."""

TILE_ROWS = "tirtune.tile_rows"
"""Annotation of the product of a program whose rows of tiles are independent of each other: position of its
row axis, how many outer axes stand before that, rows of the result in a row of tiles."""

TILE_COLUMNS = "tirtune.tile_columns"
"""Annotation of the product of a program whose last spatial axis is that of a transformed kernel."""

TILE_PANELS = "tirtune.tile_panels"
"""Annotation of the product of a program whose columns lie in panels that are independent of each other:
position of the axis that counts them, in the product and in the result."""
