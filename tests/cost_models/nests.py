"""Synthetic populations: a machine, tiled matmuls and convolutions, and helper stages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search_space.nest import Access, LoopKind, LoopNest, ProgramNests


@dataclass(frozen=True, slots=True)
class Machine:
    """The limits of search_space.hardware.Hardware, without the compiler behind it."""

    name: str = "test"
    vector_bytes: int = 64
    vector_registers: int = 32
    l1_bytes: int = 32 << 10
    l2_bytes: int = 1 << 20
    l3_bytes: int = 32 << 20
    line_bytes: int = 64
    cores: int = 2

    def lanes(self, element_bytes: int) -> int:
        return max(1, self.vector_bytes // element_bytes)

    def to_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def factor_split(rng: np.random.Generator, extent: int, parts: int, size: int) -> np.ndarray:
    """Return [size, parts] exact factorisations of an extent."""
    result = np.ones((size, parts), np.int64)
    rest, prime = extent, 2
    rows = np.arange(size)
    while rest > 1:
        while rest % prime == 0:
            result[rows, rng.integers(0, parts, size)] *= prime
            rest //= prime
        prime += 1
    return result


MATMUL_LOOPS = ("i0", "j0", "i1", "j1", "k0", "i2", "j2", "k1", "i3", "j3")
CONV_LOOPS = (
    "h0",
    "w0",
    "c0",
    "h1",
    "w1",
    "c1",
    "k0",
    "r0",
    "s0",
    "h2",
    "w2",
    "c2",
    "k1",
    "r1",
    "s1",
    "h3",
    "w3",
    "c3",
)


def tiled(order, tiles, parts):
    """Return extents [N, L] and the step of each loop along its own axis [N, L]."""
    size = next(iter(tiles.values())).shape[0]
    extents = np.ones((size, len(order)))
    steps = np.ones((size, len(order)))
    for place, loop in enumerate(order):
        axis, level = loop[0], int(loop[1:])
        extents[:, place] = tiles[axis][:, level]
        steps[:, place] = tiles[axis][:, level + 1 :].prod(axis=1)
    del parts
    return extents, steps


def coefficients(order, steps, dimensions, layout="strided"):
    """Return [N, D, L]; ``dimensions`` is a list of {axis: multiplier}."""
    size = steps.shape[0]
    if layout == "rows":
        table = np.zeros((len(dimensions), len(order), size)).transpose(2, 0, 1)
    else:
        table = np.zeros((size, len(dimensions), len(order)))
    for index, axes in enumerate(dimensions):
        for place, loop in enumerate(order):
            if loop[0] in axes:
                table[:, index, place] = axes[loop[0]] * steps[:, place]
    return table


def flags(order, size, names):
    table = np.zeros((size, len(order)), bool)
    for name in names:
        table[:, order.index(name)] = True
    return table


def matmul(rng, size, m=64, n=64, k=64, unroll=("k1", "i3"), layout="strided", auxiliary=True):
    """Return tiled matmuls C[m, n] += A[m, k] B[k, n] with a packed B and an epilogue."""
    tiles = {
        "i": factor_split(rng, m, 4, size),
        "j": factor_split(rng, n, 4, size),
        "k": factor_split(rng, k, 2, size),
    }
    order = MATMUL_LOOPS
    extents, steps = tiled(order, tiles, 4)
    kinds = np.array([LoopKind.REDUCTION if name[0] == "k" else LoopKind.SPATIAL for name in order], np.int8)

    def access(name, shape, axes, write=False):
        return Access(
            name, 4, write, False, np.array([shape], float), coefficients(order, steps, axes, layout)
        )

    compute = LoopNest(
        stage="compute",
        extents=extents,
        kinds=kinds,
        parallel=flags(order, size, ("i0", "j0")),
        unrolled=flags(order, size, unroll),
        vectorised=flags(order, size, ("j3",)),
        accesses=(
            access("C", (m, n), [{"i": 1}, {"j": 1}], write=True),
            access("A", (m, k), [{"i": 1}, {"k": 1}]),
            access("B", (k, n), [{"k": 1}, {"j": 1}]),
        ),
        flops=2.0,
        transcendentals=0.0,
        executions=np.ones(size),
        workers=np.zeros(size),
        predicated=np.zeros(size),
    )
    if not auxiliary:
        return ProgramNests((compute,), np.zeros(size), 2.0 * m * n * k, np.ones(size))
    stages = (
        copy_stage("pack", "W", "B", (k, n), size),
        compute,
        copy_stage("epilogue", "C", "D", (m, n), size),
    )
    return ProgramNests(stages, np.full(size, 4.0 * k * n), 2.0 * m * n * k, np.full(size, 3.0))


def copy_stage(stage, source, target, shape, size):
    """Return a stage that copies a matrix row by row, vectorised."""
    rows, columns = shape
    lanes = int(np.gcd(columns, 16))
    extents = np.tile(np.array([rows, columns // lanes, lanes], float), (size, 1))
    step = np.array([[[1, 0, 0], [0, lanes, 1]]], float)
    order = ("a0", "b0", "b1")
    return LoopNest(
        stage=stage,
        extents=extents,
        kinds=np.zeros(3, np.int8),
        parallel=flags(order, size, ("a0",)),
        unrolled=flags(order, size, ()),
        vectorised=flags(order, size, ("b1",)),
        accesses=(
            Access(target, 4, True, False, np.array([shape], float), step),
            Access(source, 4, False, False, np.array([shape], float), step),
        ),
        flops=0.0 if stage == "pack" else 1.0,
        transcendentals=0.0,
        executions=np.ones(size),
        workers=np.zeros(size),
        predicated=np.zeros(size),
    )


def convolution(rng, size, extent=14, channels=32, kernel=3, stride=1):
    """Return tiled NHWC convolutions without a batch axis."""
    tiles = {
        "h": factor_split(rng, extent, 4, size),
        "w": factor_split(rng, extent, 4, size),
        "c": factor_split(rng, channels, 4, size),
        "k": factor_split(rng, channels, 2, size),
        "r": factor_split(rng, kernel, 2, size),
        "s": factor_split(rng, kernel, 2, size),
    }
    order = CONV_LOOPS
    extents, steps = tiled(order, tiles, 4)
    padded = (extent - 1) * stride + kernel
    kinds = np.array(
        [LoopKind.REDUCTION if name[0] in "krs" else LoopKind.SPATIAL for name in order], np.int8
    )

    def access(name, shape, axes, write=False):
        return Access(name, 4, write, False, np.array([shape], float), coefficients(order, steps, axes))

    nest = LoopNest(
        stage="compute",
        extents=extents,
        kinds=kinds,
        parallel=flags(order, size, ("h0", "w0", "c0")),
        unrolled=flags(order, size, ("w3",)),
        vectorised=flags(order, size, ("c3",)),
        accesses=(
            access("Y", (extent, extent, channels), [{"h": 1}, {"w": 1}, {"c": 1}], write=True),
            access("X", (padded, padded, channels), [{"h": stride, "r": 1}, {"w": stride, "s": 1}, {"k": 1}]),
            access("W", (kernel, kernel, channels, channels), [{"r": 1}, {"s": 1}, {"k": 1}, {"c": 1}]),
        ),
        flops=2.0,
        transcendentals=0.0,
        executions=np.ones(size),
        workers=np.zeros(size),
        predicated=np.zeros(size),
    )
    useful = 2.0 * extent**2 * channels**2 * kernel**2
    return ProgramNests((nest,), np.zeros(size), useful, np.ones(size))


def rows_of(nests: ProgramNests, rows) -> ProgramNests:
    """Return some candidates of a population."""
    size = nests.size

    def pick(values, dimensions):
        return values[rows] if values.ndim == dimensions and values.shape[0] == size else values

    from dataclasses import replace

    stages = []
    for nest in nests.stages:
        accesses = tuple(
            replace(
                a,
                shape=pick(a.shape, 2) if a.shape.shape[0] == size else a.shape,
                coefficients=pick(a.coefficients, 3),
            )
            for a in nest.accesses
        )
        stages.append(
            replace(
                nest,
                extents=nest.extents[rows],
                parallel=nest.parallel[rows],
                unrolled=nest.unrolled[rows],
                vectorised=nest.vectorised[rows],
                accesses=accesses,
                executions=nest.executions[rows],
                workers=nest.workers[rows],
                predicated=nest.predicated[rows],
            )
        )
    return replace(
        nests,
        stages=tuple(stages),
        workspace_bytes=nests.workspace_bytes[rows],
        parallel_regions=nests.parallel_regions[rows],
    )
