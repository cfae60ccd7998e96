"""onnxruntime computes a quantised file with integers: no layer and no sum is left in floats."""

import jax
import jax.numpy as jnp
import onnx
import onnxruntime
import pytest

from effjax import models
from effjax.models import QuantizedModule, Scheme
from effjax.models.deployed.onnx_codes import quantized_to_onnx


@pytest.mark.parametrize("bits", ["w8a8", "w4a4"])
def test_layers_and_sums_are_fused_with_their_quantisers(bits, tmp_path):
    module, shape = QuantizedModule(models.create("resnet8", 10, width=0.25), Scheme.parse(bits)), (8, 8, 1)
    variables = module.init(jax.random.key(0), jnp.zeros((1, *shape)))
    model = quantized_to_onnx(module.graph(shape), module.codes(variables, shape))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimised.onnx"), 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "QGemm"} <= set(kinds)
    assert not {"Conv", "FusedConv", "Add", "GlobalAveragePool", "Gemm", "MatMulNBits", "Relu"} & set(kinds)
    assert kinds.count("QLinearAdd") == 3
