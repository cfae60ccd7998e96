"""Quantised operations by onnxruntime: one each in a graph, with random codes, scales and weights.

Run as a script, in an environment with onnx and onnxruntime, it writes what that answers to ``onnxruntime.npz``: for
tests without it.
"""

import pathlib

import numpy as np

GOLDENS = pathlib.Path(__file__).with_name("onnxruntime.npz")


def run(nodes, constants, inputs, output, kind):
    """The output of a graph, on one thread."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    kinds = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.float32): TensorProto.FLOAT}
    graph = helper.make_graph(
        nodes,
        "operation",
        [helper.make_tensor_value_info(name, kinds[x.dtype], x.shape) for name, x in inputs.items()],
        [helper.make_tensor_value_info(output, kinds[np.dtype(kind)], None)],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run([output], inputs)[0]


def node(kind, inputs, output, **attributes):
    from onnx import helper

    return helper.make_node(kind, inputs, [output], **attributes)


def dequantized(name, axis=None):
    attributes = {} if axis is None else {"axis": axis}
    return node("DequantizeLinear", [name, f"{name}_scale", f"{name}_zero"], f"{name}_float", **attributes)


def quantized(name, has_relu):
    """What follows a layer: a ReLU or none, and codes."""
    relu = [node("Relu", [name], "relu")] if has_relu else []
    return [*relu, node("QuantizeLinear", ["relu" if has_relu else name, "y_scale", "y_zero"], "y")]


def grid(rng, name, *, zero=None):
    scale, zero = rng.uniform(0.01, 0.05), rng.integers(90, 166) if zero is None else zero
    return {f"{name}_scale": np.float32(scale), f"{name}_zero": np.uint8(zero)}


def layer(rng, kind, shape, kernel, *, strides=(1, 1), pads=(0, 0, 0, 0), has_relu=False, has_bias=True, is_coded=True):
    """A convolution (kernel ``HWIO`` or ``HW1C``; pads above, left, below, right) or a product (``[I, O]``)."""
    channels, fan_in = kernel[-1], np.prod(kernel[:-1])
    x = rng.integers(0, 256, shape).astype(np.uint8)
    w = rng.integers(-127, 128, kernel).astype(np.int8)
    values = {**grid(rng, "x"), "w_scale": rng.uniform(0.001, 0.01, channels).astype(np.float32)}
    step = values["x_scale"] * values["w_scale"]
    values["b"] = rng.integers(-3000, 3000, channels).astype(np.int32) * has_bias
    values["y_scale"] = np.float32(step.mean() * np.sqrt(fan_in) * 120)
    values["y_zero"] = np.uint8(0 if has_relu else rng.integers(90, 160))
    constants = {
        **values,
        "b_scale": step,
        "w_zero": np.zeros(channels, np.int8),
        "b_zero": np.zeros(channels, np.int32),
    }
    is_conv = kind == "Conv"
    constants["w"] = np.ascontiguousarray(w.transpose(3, 2, 0, 1)) if is_conv else w
    attributes = {}
    if is_conv:
        groups = channels if kernel[2] != shape[-1] else 1
        attributes = {"strides": strides, "pads": pads, "group": groups, "kernel_shape": kernel[:2]}
    nodes = [dequantized("x"), dequantized("w", 0 if is_conv else 1), dequantized("b", 0)]
    inputs = ["x_float", "w_float", "b_float"]
    if not has_bias:
        nodes, inputs = nodes[:2], inputs[:2]
    output = "y" if is_coded else "sum"
    nodes += [node(kind, inputs, "sum", **attributes), *(quantized("sum", has_relu) if is_coded else [])]
    given = {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if is_conv else x}
    y = run(nodes, constants, given, output, np.uint8 if is_coded else np.float32)
    y = y.transpose(0, 2, 3, 1) if is_conv else y
    return {**values, "x": x, "w": w, "y": y, "strides": np.array(strides), "pads": np.array(pads)}


def addition(rng, shape, *, has_relu=False):
    values = {**grid(rng, "a"), **grid(rng, "b"), **grid(rng, "y", zero=0 if has_relu else None)}
    values["y_scale"] = np.float32((values["a_scale"] + values["b_scale"]) * rng.uniform(0.7, 1.2))
    given = {name: rng.integers(0, 256, shape).astype(np.uint8) for name in "ab"}
    nodes = [
        dequantized("a"),
        dequantized("b"),
        node("Add", ["a_float", "b_float"], "sum"),
        *quantized("sum", has_relu),
    ]
    return {**values, **given, "y": run(nodes, values, given, "y", np.uint8)}


def mean(rng, shape, ratio=None):
    values = {**grid(rng, "x"), **grid(rng, "y")}
    values["y_scale"] = np.float32(values["x_scale"] * (ratio or rng.uniform(0.3, 0.6)))
    x = rng.integers(0, 256, shape).astype(np.uint8)
    nodes = [dequantized("x"), node("GlobalAveragePool", ["x_float"], "mean"), *quantized("mean", False)]
    y = run(nodes, values, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}, "y", np.uint8)
    return {**values, "x": x, "y": y[:, :, 0, 0]}


def average_pool(rng, shape, window, strides=(1, 1), pads=(0, 0, 0, 0), ratio=None):
    """Zeros at the sides count."""
    values = {**grid(rng, "x"), **grid(rng, "y")}
    values["y_scale"] = np.float32(values["x_scale"] * (ratio or rng.uniform(0.5, 0.8)))
    x = rng.integers(0, 256, shape).astype(np.uint8)
    sizes = {"kernel_shape": window, "strides": strides, "pads": pads, "count_include_pad": 1}
    nodes = [dequantized("x"), node("AveragePool", ["x_float"], "mean", **sizes), *quantized("mean", False)]
    y = run(nodes, values, {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}, "y", np.uint8)
    sides = {name: np.array(size) for name, size in (("window", window), ("strides", strides), ("pads", pads))}
    return {**values, **sides, "x": x, "y": y.transpose(0, 2, 3, 1)}


def codes(rng, count):
    """Half of the numbers lie between two codes."""
    values = grid(rng, "y")
    ties = (rng.integers(-300, 300, count).astype(np.float32) + np.float32(0.5)) * values["y_scale"]
    x = np.concatenate([ties, rng.normal(0, 4, count).astype(np.float32)])
    nodes = [node("Identity", ["x"], "same"), *quantized("same", False)]
    return {**values, "x": x, "y": run(nodes, values, {"x": x}, "y", np.uint8)}


CASES = {
    "conv": lambda rng, c: layer(rng, "Conv", (2, 5, 6, 3 * c), (3, 3, 3 * c, 5), pads=(1, 1, 1, 1)),
    "strided conv": lambda rng, c: layer(
        rng, "Conv", (2, 6, 6, 3 * c), (3, 3, 3 * c, 5), strides=(2, 2), pads=(0, 0, 1, 1), has_relu=True
    ),
    "pointwise conv": lambda rng, c: layer(rng, "Conv", (2, 4, 4, 9 * c), (1, 1, 9 * c, 5)),
    "depthwise conv": lambda rng, c: layer(rng, "Conv", (2, 5, 5, 4 * c), (3, 3, 1, 4 * c), pads=(1, 1, 1, 1)),
    "strided depthwise conv": lambda rng, c: layer(
        rng, "Conv", (2, 7, 7, 4 * c), (5, 5, 1, 4 * c), strides=(2, 2), pads=(1, 2, 2, 1), has_relu=True
    ),
    "dense": lambda rng, c: layer(rng, "Gemm", (9, 20 * c), (20 * c, 9), has_relu=True),
    "product": lambda rng, c: layer(rng, "MatMul", (9, 20 * c), (20 * c, 9), has_bias=False),
    "logits": lambda rng, c: layer(rng, "Gemm", (9, 20 * c), (20 * c, 9), is_coded=False),
    "add": lambda rng, c: addition(rng, (2, 3, 5, 7 * c)),
    "add and ReLU": lambda rng, c: addition(rng, (2, 3, 5, 8 * c), has_relu=True),
    "mean": lambda rng, c: mean(rng, (6, 5, 4, 8 * c)),
    "quantize": lambda rng, c: codes(rng, 60 * c),
    "average pool": lambda rng, c: average_pool(rng, (2, 6, 7, 5 * c), (2, 2), strides=(2, 2)),
    "average pool over sides": lambda rng, c: average_pool(rng, (2, 6, 5, 5 * c), (3, 2), (2, 1), (1, 0, 1, 1)),
}


def case(kind, seed, channels=1):
    """What goes into an operation and what onnxruntime makes of it, by name."""
    return CASES[kind](np.random.default_rng([seed, list(CASES).index(kind)]), channels)


def stored(kind, seed):
    """The same as it was written down."""
    with np.load(GOLDENS) as file:
        start = f"{kind}/{seed}/"
        return {name.removeprefix(start): file[name] for name in file.files if name.startswith(start)}


if __name__ == "__main__":
    cases = {f"{kind}/{seed}/": case(kind, seed) for kind in CASES for seed in range(2)}
    np.savez_compressed(GOLDENS, **{start + name: x for start, one in cases.items() for name, x in one.items()})
