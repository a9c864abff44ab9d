"""Small programs in the forms that users and importers write them."""

from search_space.tvm_api import te, tirx, tvm
from search_space.workload import CONSTANTS

topi = tvm.topi


def zero(dtype="float32"):
    return tirx.const(0, dtype)


def conv_nhwc(
    shape, filters, kernel, stride=1, padding=0, dilation=1, epilogue=False, dtype="float32", groups=1
):
    """Channels-last convolution with a padding block; bias, residual and ReLU behind if asked."""
    n, h, w, c = shape
    data = te.placeholder(shape, name="data", dtype=dtype)
    weight = te.placeholder((kernel, kernel, c // groups, filters), name="weight", dtype=dtype)
    padded = topi.nn.pad(data, [0, padding, padding, 0]) if padding else data
    out_h = (h + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    out_w = (w + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    ry, rx = te.reduce_axis((0, kernel), name="ry"), te.reduce_axis((0, kernel), name="rx")
    rc = te.reduce_axis((0, c // groups), name="rc")
    accumulator = "int32" if dtype == "int8" else dtype

    def source(f):
        return rc if groups == 1 else f // (filters // groups) * (c // groups) + rc

    out = te.compute(
        (n, out_h, out_w, filters),
        lambda b, y, x, f: te.sum(
            padded[b, y * stride + ry * dilation, x * stride + rx * dilation, source(f)].astype(accumulator)
            * weight[ry, rx, rc, f].astype(accumulator),
            axis=[ry, rx, rc],
        ),
        name="conv",
    )
    if not epilogue:
        return te.create_prim_func([data, weight, out])
    bias = te.placeholder((filters,), name="bias")
    residual = te.placeholder((n, out_h, out_w, filters), name="residual")
    biased = te.compute(out.shape, lambda b, y, x, f: out[b, y, x, f] + bias[f], name="biased")
    summed = te.compute(out.shape, lambda *i: biased(*i) + residual(*i), name="summed")
    relu = te.compute(out.shape, lambda *i: tirx.max(summed(*i), zero()), name="relu")
    return te.create_prim_func([data, weight, bias, residual, relu])


def conv_nchw(shape, filters, kernel, stride=1, padding=0, dilation=1, groups=1, epilogue=False):
    """TVM's own channels-first convolution, as an ONNX import legalises it."""
    data = te.placeholder(shape, name="data")
    weight = te.placeholder((filters, shape[1] // groups, kernel, kernel), name="weight")
    if groups == 1:
        out = topi.nn.conv2d_nchw(data, weight, stride, padding, dilation)
    else:
        out = topi.nn.group_conv2d_nchw(data, weight, stride, padding, dilation, groups)
    if not epilogue:
        return te.create_prim_func([data, weight, out])
    bias = te.placeholder((1, filters, 1, 1), name="bias")
    return te.create_prim_func([data, weight, bias, topi.nn.relu(topi.add(out, bias))])


def matmul(m, n, k, epilogue=False, dtype="float32"):
    left = te.placeholder((m, k), name="left", dtype=dtype)
    right = te.placeholder((k, n), name="right", dtype=dtype)
    axis = te.reduce_axis((0, k), name="k")
    accumulator = "int32" if dtype == "int8" else dtype
    out = te.compute(
        (m, n),
        lambda i, j: te.sum(
            left[i, axis].astype(accumulator) * right[axis, j].astype(accumulator), axis=axis
        ),
        name="matmul",
    )
    if epilogue:
        bias = te.placeholder((n,), name="bias")
        biased = te.compute((m, n), lambda i, j: tirx.max(out[i, j] + bias[j], zero()), name="biased")
        return te.create_prim_func([left, right, bias, biased])
    return te.create_prim_func([left, right, out])


def transposed_nchw(shape, filters, kernel, stride, padding, output_padding=0, epilogue=False):
    """TVM's own transposed convolution: dilated, padded and flipped by blocks of their own."""
    data = te.placeholder(shape, name="data")
    weight = te.placeholder((shape[1], filters, kernel, kernel), name="weight")
    out = topi.nn.conv2d_transpose_nchw(
        data, weight, (stride, stride), (padding, padding), "float32", (output_padding, output_padding)
    )
    if epilogue:
        bias = te.placeholder((1, filters, 1, 1), name="bias")
        return te.create_prim_func([data, weight, bias, topi.nn.relu(topi.add(out, bias))])
    return te.create_prim_func([data, weight, out])


def transposed_nhwc(shape, filters, kernel, stride, padding, epilogue=False):
    """Channels-last transposed convolution over an input that zeros were inserted into."""
    n, h, w, c = shape
    data = te.placeholder(shape, name="data")
    weight = te.placeholder((kernel, kernel, c, filters), name="weight")
    border = kernel - 1 - padding
    spread = topi.nn.pad(topi.nn.dilate(data, [1, stride, stride, 1]), [0, border, border, 0])
    size = [(e - 1) * stride + kernel - 2 * padding for e in (h, w)]
    ry, rx = te.reduce_axis((0, kernel), name="ry"), te.reduce_axis((0, kernel), name="rx")
    rc = te.reduce_axis((0, c), name="rc")
    out = te.compute(
        (n, *size, filters),
        lambda b, y, x, f: te.sum(
            spread[b, y + ry, x + rx, rc] * weight[kernel - 1 - ry, kernel - 1 - rx, rc, f], axis=[ry, rx, rc]
        ),
        name="conv",
    )
    if not epilogue:
        return te.create_prim_func([data, weight, out])
    relu = te.compute(out.shape, lambda *i: tirx.max(out(*i), zero()), name="relu")
    return te.create_prim_func([data, weight, relu])


def product(rows, terms=512, columns=768, transposed=False, epilogue=False, dtype="float32"):
    """``x[..., k] * weight[k, n]`` with a weight that is marked; bias, residual and ReLU behind if asked."""
    data = te.placeholder((*rows, terms), name="x", dtype=dtype)
    shape = (columns, terms) if transposed else (terms, columns)
    weight = te.placeholder(shape, name="weight", dtype=dtype)
    k = te.reduce_axis((0, terms), name="k")
    out = te.compute(
        (*rows, columns),
        lambda *i: te.sum(data(*i[:-1], k) * (weight[i[-1], k] if transposed else weight[k, i[-1]]), axis=k),
        name="product",
    )
    arguments = [data, weight, out]
    if epilogue:
        bias = te.placeholder((columns,), name="bias")
        residual = te.placeholder(out.shape, name="residual")
        summed = te.compute(out.shape, lambda *i: out(*i) + bias[i[-1]] + residual(*i), name="summed")
        relu = te.compute(out.shape, lambda *i: tirx.max(summed(*i), tirx.const(0, "float32")), name="relu")
        arguments = [data, weight, bias, residual, relu]
    return te.create_prim_func(arguments).with_attr(CONSTANTS, [1])
