"""The stored coefficients are what the fit gives, as good as they claim."""

import math

import numpy as np
import pytest
from minimax import chebyshev_points, fit_polynomial

from search_space.numerics import float32

pytestmark = pytest.mark.tvm  # float32 imports the compiler


def _exp_case(limit):
    r = chebyshev_points(-limit, limit)
    r = r[np.abs(r) > 0.05]  # below, the quotient cancels in double precision
    return r, (np.expm1(r) - r) / r**2, r**2 / np.exp(r)


def _short_exp_case():
    r = chebyshev_points(-math.log(2) / 2, math.log(2) / 2)
    return r, np.expm1(r) / r, np.abs(r) / np.exp(r)


def _log_case():
    f = chebyshev_points(math.sqrt(0.5) - 1, math.sqrt(2) - 1)
    f = f[np.abs(f) > 0.03]
    return f, (np.log1p(f) - f + f * f / 2) / f**3, f**3 / np.log1p(f)


def _erf_case():
    x = chebyshev_points(1e-3, 0.92)
    erf = np.array([math.erf(v) for v in x])
    return x * x, erf / x, x / erf


def _log_erfc_case():
    x = chebyshev_points(0.92, 3.95)
    erfc = np.array([math.erfc(v) for v in x])
    return x, np.log(erfc), erfc / (1 - erfc)


CASES = {
    "exp": (_exp_case(math.log(2)), float32.EXP_COEFFICIENTS, 1.5e-8),
    "exp narrow": (_exp_case(math.log(2) / 2), float32.EXP_NARROW_COEFFICIENTS, 3.3e-9),
    "exp short": (_short_exp_case(), float32.EXP_SHORT_COEFFICIENTS, 9.3e-8),
    "log": (_log_case(), float32.LOG_COEFFICIENTS, 3.3e-8),
    "erf": (_erf_case(), float32.ERF_COEFFICIENTS, 1.6e-8),
    "log erfc": (_log_erfc_case(), float32.LOG_ERFC_COEFFICIENTS, 2.6e-8),
}


@pytest.mark.parametrize("name", CASES)
def test_stored_coefficients_are_minimax(name):
    (points, values, weights), stored, claimed = CASES[name]
    stored_error = np.max(weights * np.abs(np.polynomial.polynomial.polyval(points, stored) - values))
    fitted, fitted_error = fit_polynomial(points, values, weights, len(stored) - 1)
    assert stored_error <= claimed
    assert stored_error <= 1.1 * fitted_error
    assert np.allclose(fitted[:2], stored[:2], rtol=2e-3)


def test_fit_of_a_polynomial_is_exact():
    x = chebyshev_points(-1.0, 2.0, 50)
    coefficients, error = fit_polynomial(x, 1 + 2 * x - 3 * x**2, np.ones_like(x), 2, iterations=3)
    assert error < 1e-12
    assert np.allclose(coefficients, [1, 2, -3])
