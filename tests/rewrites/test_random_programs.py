"""Random convolutions, transposed convolutions and products: every alternative agrees."""

import numpy as np
import pytest
from checking import check_same
from samples import conv_nchw, conv_nhwc, matmul, transposed_nchw

from search_space.rewrites import alternatives

pytestmark = [pytest.mark.tvm, pytest.mark.slow]


@pytest.mark.parametrize("seed", range(40))
def test_alternatives_of_a_random_program(seed):
    rng = np.random.default_rng(seed)
    batch, height, width = rng.integers(1, 3), rng.integers(5, 14), rng.integers(5, 14)
    channels, filters = (int(rng.integers(1, 24)) for _ in range(2))
    kernel, stride = int(rng.choice([1, 2, 3, 5])), int(rng.integers(1, 4))
    padding, dilation = int(rng.integers(0, kernel)), int(rng.integers(1, 3)) if kernel < 4 else 1
    shape = (int(batch), int(height), int(width), channels)
    first = (shape[0], channels, *shape[1:3])
    epilogue = bool(rng.integers(2))
    func = [
        lambda: conv_nhwc(shape, filters, kernel, stride, padding, dilation, epilogue),
        lambda: conv_nchw(first, filters, kernel, stride, padding, dilation, 1, epilogue),
        lambda: transposed_nchw(first, filters, kernel, stride, padding, 0, epilogue),
        lambda: matmul(shape[1] * shape[2], filters, channels * 64, epilogue),
    ][seed % 4]()
    for rewrite in alternatives(func):
        check_same(func, rewrite.func, rtol=1e-4, atol=1e-5 * rewrite.tolerance_scale)
