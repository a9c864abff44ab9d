"""Float32 functions as polynomials and bit operations.

Every function takes a scalar float32 expression and returns one that uses only add, multiply,
divide, compare, select, shift and reinterpret, all of which LLVM maps to vector instructions.
The results differ from the double-precision ones by at most 4 units in the last place over the
whole range (measured: docs/numerics.md); infinities, NaN and denormals behave as in C's libm.

Range reductions follow W. J. Cody and W. Waite, *Software Manual for the Elementary Functions*
(1980). Coefficients are relative minimax fits, which ``tests/numerics/test_minimax.py`` makes again.

``Select(x > high, high, x)`` and its mirror image, rather than ``min`` and ``max``, keep a NaN.
"""

from __future__ import annotations

import math
from typing import Any

from search_space.numerics.bindings import Bindings, bits_of, from_bits, horner, integer, real
from search_space.tvm_api import tirx

LN2_HIGH = 0.693359375
"""ln 2 to 9 bits: its product with an integer below 2^15 is exact."""
LN2_LOW = math.log(2.0) - LN2_HIGH

EXP_COEFFICIENTS = (
    0.5000003456199583,
    0.16666614275538494,
    0.04166127656223708,
    0.00833609863633726,
    0.0014104304397087471,
    0.00019611802035489364,
)
"""exp(r) = 1 + r + r^2 q(r) on |r| <= ln 2, relative error 1.4e-8."""

LOG_COEFFICIENTS = (
    0.33333910736897215,
    -0.2500133703789943,
    0.19963063816794374,
    -0.16577584661621161,
    0.14914767715036054,
    -0.14267487061930054,
    0.08700436558938074,
)
"""log(1 + f) = f - f^2/2 + f^3 q(f) on sqrt(1/2) <= 1 + f <= sqrt(2), relative error 3.1e-8."""

EXP_NARROW_COEFFICIENTS = (
    0.49999993447785046,
    0.16666520631686582,
    0.041668388047654645,
    0.008368716881820509,
    0.0013814598530828325,
)
"""The same on |r| <= ln 2 / 2, relative error 3.1e-9."""

ERF_SWITCH = 0.92
ERF_COEFFICIENTS = (
    1.1283791499666604,
    -0.3761249647097935,
    0.11281846023454141,
    -0.026767721878932907,
    0.004994832637467933,
    -0.0005999415879295411,
)
"""erf(x) = x p(x^2) on |x| <= 0.92, relative error 1.5e-8."""
LOG_ERFC_COEFFICIENTS = (
    -0.0019658908771442146,
    -1.1198828311908287,
    -0.6511750970433559,
    -0.09083002685065085,
    0.015488554360406212,
    -0.001240124534363231,
)
"""erf(x) = 1 - exp(p(x)) on 0.92 <= x <= 3.95, relative error 2.5e-8."""

EXP_SHORT_COEFFICIENTS = (
    0.9999997071890471,
    0.49999149530286424,
    0.1666763619611862,
    0.04189792933696752,
    0.008290314633082135,
)
"""exp(r) = 1 + r q(r) on |r| <= ln 2 / 2, relative error 9.2e-8."""

_ZERO_EXP = -127.0 * math.log(2.0)
"""Rounds to the exponent whose biased form is zero: the power of two is 0."""
_LARGEST_EXP = 89.0
_SMALLEST_EXP = -104.0
_ROUND_AND_BIAS = 12582912.0 + 127.0
"""1.5 * 2^23 rounds to an integer when added; 127 more makes its low bits a biased exponent."""
_TANH_SATURATED = 9.1
_ERF_SATURATED = 3.95
_SMALLEST_NORMAL = 1.1754943508222875e-38
_SQRT_HALF_BITS = 0x3F3504F3
_INFINITY_BITS = 0x7F800000
_NAN_BITS = 0x7FC00000
_SIGN_BIT = 0x80000000


def exp(x: Any) -> Any:
    """Return e^x; overflows to infinity, underflows gradually through the denormals."""
    bound = Bindings()
    value = bound.bind("x", x)
    value = bound.bind("below", tirx.Select(value > real(_LARGEST_EXP), real(_LARGEST_EXP), value))
    return bound.close(_exp_not_large(bound, value))


def _exp_not_large(bound: Bindings, value: Any) -> Any:
    """e^x for x <= 89 or NaN: x = 2 m ln 2 + r, e^x = (e^r 2^m) 2^m.

    An even exponent lets one power of two be applied twice, which is exact except for the last
    product: denormal results are rounded once, and 2^m itself never leaves the normal range.
    """
    value = bound.bind("clamped", tirx.Select(value < real(_SMALLEST_EXP), real(_SMALLEST_EXP), value))
    shifted = bound.bind("shifted", value * real(0.5 / math.log(2.0)) + real(_ROUND_AND_BIAS))
    # The round trip through the bits hides (y + c) - c from simplification.
    half = bound.bind("half", from_bits(bits_of(shifted)) - real(_ROUND_AND_BIAS))
    rest = bound.bind("r", (value - half * real(2 * LN2_HIGH)) - half * real(2 * LN2_LOW))
    power = bound.bind("power", from_bits(bits_of(shifted) << integer(23)))
    # Small terms first: without fused multiply-add this loses half a unit less than plain Horner.
    series = rest * rest * horner(rest, EXP_COEFFICIENTS) + rest + real(1.0)
    return series * power * power


def exp_not_positive(x: Any) -> Any:
    """Return e^x for x <= 0 or NaN, in two thirds of the instructions; zero below -87.7 instead of denormals.

    There is no upper bound (it holds up to 88), no second product for denormal results, and one constant for
    ln 2, which is off by 2^-25 of itself: 1.3e-8 abs(x) more relative error. On the scale of the largest
    term of a row, by which a softmax divides, that is nothing.
    """
    bound = Bindings()
    value = bound.bind("x", x)
    value = bound.bind("clamped", tirx.Select(value < real(_ZERO_EXP), real(_ZERO_EXP), value))
    shifted = bound.bind("shifted", value * real(1.0 / math.log(2.0)) + real(_ROUND_AND_BIAS))
    whole = bound.bind("whole", from_bits(bits_of(shifted)) - real(_ROUND_AND_BIAS))
    rest = bound.bind("r", value - whole * real(math.log(2.0)))
    power = bound.bind("power", from_bits(bits_of(shifted) << integer(23)))
    return bound.close(horner(rest, (1.0, *EXP_SHORT_COEFFICIENTS)) * power)


def log(x: Any) -> Any:
    """Return the natural logarithm; -infinity at zero, NaN below."""
    bound = Bindings()
    value = bound.bind("x", x)
    is_denormal = value < real(_SMALLEST_NORMAL)
    normal = bound.bind("normal", tirx.Select(is_denormal, value * real(2.0**25), value))
    # The exponent is taken relative to sqrt(1/2), so that the mantissa surrounds 1.
    offset = bits_of(normal) - integer(_SQRT_HALF_BITS)
    exponent = bound.bind(
        "exponent",
        tirx.Cast("float32", offset >> integer(23)) - tirx.Select(is_denormal, real(25.0), real(0.0)),
    )
    mantissa = from_bits((offset & integer(0x007FFFFF)) + integer(_SQRT_HALF_BITS))
    f = bound.bind("f", mantissa - real(1.0))
    square = bound.bind("f2", f * f)
    tail = square * f * horner(f, LOG_COEFFICIENTS) + exponent * real(LN2_LOW)
    result = bound.bind("log", (tail - square * real(0.5)) + f + exponent * real(LN2_HIGH))
    finite = tirx.Select(value < from_bits(integer(_INFINITY_BITS)), result, value)
    special = tirx.Select(
        value == real(0.0), from_bits(integer(_INFINITY_BITS | _SIGN_BIT)), from_bits(integer(_NAN_BITS))
    )
    return bound.close(tirx.Select(value > real(0.0), finite, special))


def sigmoid(x: Any) -> Any:
    """Return 1/(1+e^-x) from e^-|x|, so that the tail at minus infinity keeps its precision."""
    bound = Bindings()
    value = bound.bind("x", x)
    negative = bound.bind("negative", from_bits(bits_of(value) | integer(_SIGN_BIT)))
    decay = bound.bind("decay", _exp_not_large(bound, negative))
    numerator = tirx.Select(value < real(0.0), decay, real(1.0))
    return bound.close(numerator / (decay + real(1.0)))


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent: t / (t + 2) with t = e^2x - 1, which keeps small x exact."""
    bound = Bindings()
    value = bound.bind("x", x)
    size = bound.bind("size", _absolute(value))
    limited = tirx.Select(size > real(_TANH_SATURATED), real(_TANH_SATURATED), size)
    power, rest = _power_and_rest(bound, limited + limited)
    growth = bound.bind(
        "growth", power * horner(rest, (0.0, 1.0, *EXP_NARROW_COEFFICIENTS)) + (power - real(1.0))
    )
    return bound.close(_with_sign_of(value, growth / (growth + real(2.0))))


def erf(x: Any) -> Any:
    """Return the error function: 1 - exp(p(x)), an odd polynomial near zero."""
    bound = Bindings()
    value = bound.bind("x", x)
    size = bound.bind("size", _absolute(value))
    limited = bound.bind("limited", tirx.Select(size > real(_ERF_SATURATED), real(_ERF_SATURATED), size))
    power, rest = _power_and_rest(bound, horner(limited, LOG_ERFC_COEFFICIENTS))
    complement = horner(rest, (1.0, 1.0, *EXP_NARROW_COEFFICIENTS)) * power
    square = bound.bind("x2", size * size)
    near = size * horner(square, ERF_COEFFICIENTS)
    far = real(1.0) - complement
    return bound.close(_with_sign_of(value, tirx.Select(size < real(ERF_SWITCH), near, far)))


def _power_and_rest(bound: Bindings, value: Any) -> tuple[Any, Any]:
    """Split |z| < 80 or NaN: z = m ln 2 + r with |r| <= ln 2 / 2; returns 2^m and r."""
    value = bound.bind("z", value)
    shifted = bound.bind("shifted", value * real(1.0 / math.log(2.0)) + real(_ROUND_AND_BIAS))
    whole = bound.bind("whole", from_bits(bits_of(shifted)) - real(_ROUND_AND_BIAS))
    rest = bound.bind("r", (value - whole * real(LN2_HIGH)) - whole * real(LN2_LOW))
    return bound.bind("power", from_bits(bits_of(shifted) << integer(23))), rest


def _absolute(value: Any) -> Any:
    return from_bits(bits_of(value) & integer(_SIGN_BIT - 1))


def _with_sign_of(signed: Any, size: Any) -> Any:
    return from_bits((bits_of(signed) & integer(_SIGN_BIT)) | bits_of(size))


def reciprocal_square_root(x: Any) -> Any:
    """Return 1/sqrt(x); TVM vectorises ``sqrt`` but runs ``rsqrt`` lane by lane."""
    return real(1.0) / tirx.sqrt(x)


def power(x: Any, exponent: float) -> Any | None:
    """Return x^exponent for the constants that need only multiplication, division and roots.

    Args:
        x: Base.
        exponent: An integer from -3 to 6, or 0.5, -0.5, 0.25, 1.5.

    Returns:
        The expression, or None where no such form is within 4 units in the last place.
    """
    bound = Bindings()
    value = bound.bind("x", x)
    if exponent in (0.5, 0.25, -0.5, 1.5):
        # pow and sqrt differ at minus infinity and at minus zero.
        unsigned = tirx.Select(value == real(0.0), real(0.0), value)
        infinite = value == from_bits(integer(_INFINITY_BITS | _SIGN_BIT))
        base = bound.bind("base", tirx.Select(infinite, from_bits(integer(_INFINITY_BITS)), unsigned))
        root = bound.bind("root", tirx.sqrt(base))
        forms = {0.5: root, 0.25: tirx.sqrt(root), -0.5: real(1.0) / root, 1.5: base * root}
        return bound.close(forms[exponent])
    if exponent != int(exponent) or not -3 <= exponent <= 6:
        return None
    if exponent == 0:
        return real(1.0)
    if exponent < 0:
        value = bound.bind("inverse", real(1.0) / value)
    return bound.close(_integer_power(bound, value, abs(int(exponent))))


def _integer_power(bound: Bindings, value: Any, exponent: int) -> Any:
    product = None
    while True:
        if exponent & 1:
            product = value if product is None else product * value
        exponent >>= 1
        if not exponent:
            return product
        value = bound.bind("square", value * value)
