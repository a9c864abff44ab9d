"""Float32 inputs that reach everything, and the error in units in the last place."""

import numpy as np

SPECIAL_BITS = (
    0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001,
    0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00800000, 0x80800000,
    0x3F800000, 0xBF800000, 0x3F7FFFFF, 0x3F800001, 0x7F7FFFFF, 0xFF7FFFFF,
    0x42B17218, 0x42B17219, 0xC2AEAC50, 0xC2CFF1B4, 0xC2CFF1B5, 0x3F3504F3, 0x3F3504F4,
)  # fmt: skip


def sample(count, seed=0):
    """Random bit patterns, every exponent densely, and the range where functions bend."""
    rng = np.random.default_rng(seed)
    quarter = count // 4
    patterns = rng.integers(0, 2**32, quarter, dtype=np.uint32)
    exponents = np.repeat(np.arange(512, dtype=np.uint32) << 23, quarter // 512)
    each_exponent = exponents | rng.integers(0, 2**23, exponents.size, dtype=np.uint32)
    near = rng.uniform(-5, 5, quarter).astype(np.float32).view(np.uint32)
    wide = rng.uniform(-110, 110, quarter).astype(np.float32).view(np.uint32)
    special = np.array(SPECIAL_BITS, np.uint32)
    bits = np.concatenate([special, patterns, each_exponent, near, wide])
    return np.resize(bits, count).view(np.float32).copy()


def ulp_error(got, exact):
    """Distance of float32 results from float64 ones in units in the last place of the latter.

    Where the exact value rounds to an infinity, or is NaN, the result must be the same.
    """
    wide = got.astype(np.float64)
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        exponent = np.frexp(np.where(np.isfinite(exact), exact, 1.0))[1]
        unit = np.where(exact == 0, 2.0**-149, np.ldexp(1.0, np.maximum(exponent - 24, -149)))
        error = np.abs(wide - exact) / unit
    same = (np.isnan(exact) & np.isnan(wide)) | (rounded == got)
    return np.where(
        same, np.where(np.isfinite(error), error, 0.0), np.where(np.isfinite(error), error, np.inf)
    )
