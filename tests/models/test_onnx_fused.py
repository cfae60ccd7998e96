"""onnxruntime computes a quantised file with integers: no layer and no sum is left in floats."""

import jax
import jax.numpy as jnp
import onnx
import onnxruntime
import pytest
from test_quantized_graph import WithPools

from effjax import models
from effjax.models import QuantizedModule, Scheme
from effjax.models.deployed.onnx_codes import quantized_to_onnx


def executed(network, bits, shape, path):
    """The kinds of operations that onnxruntime makes of a network in few bits."""
    module = QuantizedModule(network, Scheme.parse(bits))
    variables = module.init(jax.random.key(0), jnp.zeros((1, *shape)))
    model = quantized_to_onnx(module.graph(shape), module.codes(variables, shape))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(path), 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path).graph.node]


FLOAT = {"Conv", "FusedConv", "Add", "GlobalAveragePool", "AveragePool", "Gemm", "MatMulNBits", "Relu"}


@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_layers_and_sums_are_fused_with_their_quantisers(bits, tmp_path):
    kinds = executed(models.create("resnet8", 10, width=0.25), bits, (8, 8, 1), tmp_path / "optimised.onnx")
    assert {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "QGemm"} <= set(kinds)
    assert not FLOAT & set(kinds)
    assert kinds.count("QLinearAdd") == 3


def test_means_over_windows_are_fused_with_their_quantisers(tmp_path):
    kinds = executed(WithPools(), "w8a8", (12, 10, 3), tmp_path / "optimised.onnx")
    assert kinds.count("QLinearAveragePool") == 4
    assert kinds.count("QLinearAdd") == 1
    assert not FLOAT & set(kinds)
