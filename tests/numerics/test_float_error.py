"""What accuracy is judged by: inputs hold every kind of number, and no wrong kind passes for a right one."""

import numpy as np
import pytest
from float_error import sample, ulp_error

pytestmark = pytest.mark.pure

TINY = np.finfo(np.float32).tiny
DENORMAL = np.float32(2**-149)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_inputs_hold_every_kind_of_number(seed):
    values = sample(1 << 18, seed)
    denormal = (np.abs(values) < TINY) & (values != 0)
    assert (denormal & (values > 0)).sum() > 100 and (denormal & (values < 0)).sum() > 100
    for kind in (np.isnan(values), values == np.inf, values == -np.inf, np.abs(values) == DENORMAL):
        assert kind.any()
    assert np.signbit(values[values == 0]).any() and not np.signbit(values[values == 0]).all()
    exponents = (values.view(np.uint32) >> 23) & 0xFF
    assert (np.bincount(exponents, minlength=256) > 100).all()


@pytest.mark.parametrize(
    ("got", "exact", "error"),
    [
        (1.0, 1.0, 0.0),
        (1.0 + 2**-23, 1.0, 1.0),
        (1.0 - 2**-24, 1.0, 0.5),
        (0.0, 3 * 2.0**-149, 3.0),
        (2**-149, 0.0, 1.0),
        (np.inf, 1e39, 0.0),
        (np.inf, np.inf, 0.0),
        (np.nan, np.nan, 0.0),
        (np.inf, 1.0, np.inf),
        (np.inf, -np.inf, np.inf),
        (3e38, np.inf, np.inf),
        (np.nan, 1.0, np.inf),
        (1.0, np.nan, np.inf),
        (np.nan, np.inf, np.inf),
    ],
)
def test_distances_are_in_units_of_the_exact_value(got, exact, error):
    found = ulp_error(np.array([got], np.float32), np.array([exact], np.float64))
    assert found[0] == error
