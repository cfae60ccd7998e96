"""Detectors as graphs: several outputs, of which one is the same for all images; in floats and in eight bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models

SHAPE = (18, 24, 1)  # of which maps have an odd number of rows


@pytest.fixture(scope="module")
def detector():
    module = models.create(
        "fcos", 2, backbone="resnet8", width=0.25, stem="halving", strides=(4, 8, 16), channels=8, convs=1
    )
    variables = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *SHAPE)))
    rng = np.random.default_rng(0)
    # Otherwise than they begin, so that a scale or a statistic that is left out is seen.
    variables = jax.tree.map(lambda x: np.abs(x + 0.1 * rng.normal(size=x.shape).astype(np.float32)), variables)
    return module, variables


def test_onnxruntime_answers_as_the_detector(detector):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from effjax.export import onnx_session
    from effjax.models.deployed.onnx_model import to_onnx

    module, variables = detector
    graph = models.deploy(module, variables, SHAPE)
    folded = jax.jit(graph.fold)(variables)
    images = np.random.default_rng(1).normal(size=(3, *SHAPE)).astype(np.float32)
    expected = jax.jit(module.apply)(variables, images).preds
    ours = jax.jit(graph.apply)(folded, images).preds
    session = onnx_session(to_onnx(graph, folded).SerializeToString())
    names = [output.name for output in session.get_outputs()]
    assert set(names) == set(expected) == {"logits", "boxes", "features", "places"}
    found = dict(zip(names, session.run(None, {"images": images}), strict=True))
    for name, array in expected.items():
        for other in (ours[name], found[name]):
            assert other.shape == array.shape
            assert np.abs(other - array).max() <= 1e-5 * np.abs(array).max(), name


def test_eight_bits_are_executed_as_they_are_computed_here(detector):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from effjax.export import onnx_session
    from effjax.models.deployed.onnx_codes import quantized_to_onnx

    module, variables = detector
    quantized = models.QuantizedModule(module, models.Scheme.parse("w8a8"))
    images = np.random.default_rng(1).normal(size=(8, *SHAPE)).astype(np.float32)
    codes = quantized.codes(quantized.begin(variables, [images], "minmax"), SHAPE)
    expected = jax.jit(quantized.apply_integer)(codes, images).preds
    session = onnx_session(quantized_to_onnx(quantized.graph(SHAPE), codes).SerializeToString())
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"images": images}), strict=True))
    np.testing.assert_array_equal(found["features"], expected["features"])  # up to where floats go on
    for name in ("logits", "boxes"):
        largest = np.abs(expected[name]).max()
        assert np.abs(found[name] - expected[name]).max() <= 1e-6 * largest, name
