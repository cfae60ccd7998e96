"""Graphs as ONNX models, executed by onnxruntime."""

import jax
import numpy as np
import pytest
from test_deployed_graph import CASES, made

from effjax import models

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("case", CASES)
def test_onnxruntime_answers_as_the_graph(case):
    from effjax.export import onnx_session
    from effjax.models.deployed.onnx_model import to_onnx

    module, variables, shape = made(case)
    graph = models.deploy(module, variables, shape)
    folded = jax.jit(graph.fold)(variables)
    model = to_onnx(graph, folded)
    images = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    expected = np.asarray(jax.jit(graph.apply)(folded, images).logits)
    content = model.SerializeToString()
    session = onnx_session(content)
    for some in (images, images[:1]):
        (found,) = session.run(None, {"images": some})
        assert abs(found - expected[: len(some)]).max() <= 1e-5 * abs(expected).max()
    transposes = sum(node.op_type == "Transpose" for node in model.graph.node)
    if case.startswith(("scnn", "resnet", "densenet", "efficientnet", "mobilenet", "regnet")):
        assert transposes <= 2  # the images, and what is flattened


def test_taps_are_outputs_by_their_paths():
    from effjax.export import onnx_session
    from effjax.models.deployed.onnx_model import to_onnx

    module, variables, shape = made("resnet8", taps=("stage2",))
    graph = models.deploy(module, variables, shape)
    model = to_onnx(graph, graph.fold(variables))
    session = onnx_session(model.SerializeToString())
    assert [output.name for output in session.get_outputs()] == ["logits", "stage2"]
    images = np.ones((2, *shape), np.float32)
    tap = session.run(["stage2"], {"images": images})[0]
    np.testing.assert_allclose(tap, module.apply(variables, images).taps["stage2"], atol=1e-5)


class _Nonsense:
    """A grid whose operation ONNX does not have."""

    def write(self, writer, name):
        return writer.add("Nonsense", [name])


def test_a_model_that_is_no_onnx_is_not_handed_out():
    from effjax.models.deployed.onnx_model import to_onnx

    module, variables, shape = made("mlp")
    graph = models.deploy(module, variables, shape)
    with pytest.raises(onnx.checker.ValidationError, match="Nonsense"):
        to_onnx(graph, graph.fold(variables), grids={graph.nodes[0].output: _Nonsense()})
