"""Files of trained networks, executed by the runtimes that they are for."""

import dataclasses
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.export import onnx_session
from effjax.export.package import WEIGHTS_FILE, DeployedModel, write_package
from effjax.models import QuantizedModule
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.export import subject
from effjax.recipes.export.deployable import in_float32
from effjax.recipes.export.experiment import export

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
ReferenceEvaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator


def of(exported_runs, name):
    runs, data = exported_runs
    return subject.of_run(runs[name], "last", data)


def normalised(one, pixels):
    view = one.network.view
    return ((pixels / np.float32(255) - np.float32(view.mean)) / np.float32(view.std)).astype(np.float32)


@pytest.mark.parametrize("name", ["mlp", "scnn"])
@pytest.mark.parametrize("inputs", ["float", "uint8"])
def test_a_network_of_floats_answers_as_it_does_here(tmp_path, exported_runs, name, inputs):
    one = of(exported_runs, name)
    export(one, tmp_path, inputs=inputs)
    pixels = one.pixels(5)
    given = pixels if inputs == "uint8" else normalised(one, pixels)
    (found,) = onnx_session(tmp_path / "model.onnx").run(None, {"images": given})
    expected = one.network.predict(one.variables, {"image": pixels}).preds
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(abs(expected).max()))


@pytest.mark.parametrize(("name", "bits"), [("mlp", "w8a8"), ("scnn", "w8a8"), ("w8a8", "")])
def test_eight_bits_are_executed_as_they_are_computed_here(tmp_path, exported_runs, name, bits):
    """After training and in training: integers, the same bits for every row."""
    one = of(exported_runs, name)
    export(one, tmp_path, bits=bits, calibrate=100)
    known = json.loads((tmp_path / "model.json").read_text())
    assert known["bits"] == "w8a8"
    assert known["grids"]["images"]["bits"] == 8
    module, variables = one.network.module, one.variables
    given = normalised(one, one.pixels(100))
    session = onnx_session(tmp_path / "model.onnx")
    (found,) = session.run(None, {"images": given})
    if isinstance(module, QuantizedModule):
        expected = module.apply_integer(module.codes(variables, one.image_shape), given).preds
        rows = (np.asarray(expected) == found).all(1)
        assert rows.mean() >= 0.99
        assert (np.asarray(expected).argmax(1) == found.argmax(1)).all()
    float_size = sum(np.asarray(leaf).nbytes for leaf in _leaves(variables))
    assert (tmp_path / "model.onnx").stat().st_size < 0.5 * float_size
    operations = {node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operations


def _leaves(tree):
    return [leaf for child in tree.values() for leaf in (_leaves(child) if isinstance(child, dict) else [child])]


def test_few_bits_are_what_was_trained(tmp_path, exported_runs):
    one = of(exported_runs, "w4a4")
    export(one, tmp_path)
    given = normalised(one, one.pixels(100))
    (found,) = onnx_session(tmp_path / "model.onnx").run(None, {"images": given})
    simulated = one.network.predict(one.variables, {"image": one.pixels(100)}).preds
    assert (found.argmax(1) == np.asarray(simulated).argmax(1)).mean() >= 0.95
    kernel = next(array for array in onnx.load(tmp_path / "model.onnx").graph.initializer if len(array.dims) == 4)
    assert abs(onnx.numpy_helper.to_array(kernel)).max() <= 127


@pytest.mark.parametrize("name", ["scnn", "w8a8", "w4a4"])
def test_the_file_means_what_onnx_defines(tmp_path, exported_runs, name):
    """By ONNX's own evaluator, in numpy: a runtime's answers are those of the file, and no habit of that runtime."""
    one = of(exported_runs, name)
    export(one, tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    model.opset_import[0].version = 21  # it knows no earlier quantisation; that did not change
    given = normalised(one, one.pixels(6))
    (defined,) = ReferenceEvaluator(model).run(None, {"images": given})
    (found,) = onnx_session(tmp_path / "model.onnx").run(None, {"images": given})
    np.testing.assert_allclose(found, defined, atol=(1e-5 if name == "scnn" else 0.02) * float(abs(defined).max()))
    np.testing.assert_array_equal(found.argmax(1), defined.argmax(1))


def test_stablehlo_is_loaded_without_effjax(tmp_path, exported_runs):
    one = of(exported_runs, "scnn")
    export(one, tmp_path, format="stablehlo")
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "model_check.py")], capture_output=True, text=True, check=True
    )
    assert "16 images answered as they should be, on cpu, cuda, tpu it runs" in done.stdout
    assert "effjax" not in Path(tmp_path / "model_check.py").read_text()


def test_products_keep_the_bits_of_float32_on_any_device(tmp_path, exported_runs):
    """A GPU's own rounding of a product's factors is a thousand times what a file may differ by."""
    one = of(exported_runs, "scnn")
    export(one, tmp_path, format="stablehlo")
    exported = jax.export.deserialize(bytearray((tmp_path / "model.stablehlo").read_bytes()))
    jaxpr = jax.make_jaxpr(in_float32(one.network.module.apply))(one.effective, np.zeros((1, *one.image_shape)))
    for text, product in ((exported.mlir_module(), "precision DEFAULT"), (str(jaxpr), "precision=None")):
        assert "HIGHEST" in text
        assert product not in text


def test_the_check_notices_another_model(tmp_path, exported_runs):
    for name, folder in (("mlp", "one"), ("scnn", "other")):
        export(of(exported_runs, name), tmp_path / folder)
    (tmp_path / "one" / "model.onnx").write_bytes((tmp_path / "other" / "model.onnx").read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "one" / "model_check.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "error: logits differs by" in done.stderr


def test_the_check_of_stablehlo_notices_other_answers_and_other_weights(tmp_path, capsys):
    """Run here: another process would take seconds to begin."""
    images, weights = (np.random.default_rng(i).normal(size=shape) for i, shape in enumerate([(5, 6), (6, 3)]))
    images, weights = images.astype(np.float32), weights.astype(np.float32)
    exported = jax.export.export(jax.jit(lambda weights, images: {"logits": images @ weights[0]}))([weights], images)
    written = DeployedModel(
        *("stablehlo", bytes(exported.serialize()), {}, images, {"logits": images @ weights}, 1e-5, (weights,))
    )
    write_package(written, tmp_path)
    check = str(tmp_path / "model_check.py")
    runpy.run_path(check)
    assert "5 images answered as they should be, on cpu it runs" in capsys.readouterr().out
    answers = dict(written.answers)
    answers["logits"][np.unravel_index(abs(answers["logits"]).argmin(), (5, 3))] += abs(answers["logits"]).max() / 2
    for change, said in (({"answers": answers}, "5.0e-01"), ({"weights": (2 * weights,)}, "1.0e+00")):
        write_package(dataclasses.replace(written, **change), tmp_path)
        with pytest.raises(SystemExit, match=f"^error: logits differs by {re.escape(said)}, allowed is 1e-05$"):
            runpy.run_path(check)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mlp", {"bits": "w9a9"}, "bits='w9a9': allowed: w8a8"),
        ("mlp", {"format": "tflite"}, "--format=tflite.*onnx"),
        ("mlp", {"calibration": "best"}, "--calibration=best"),
        ("mlp", {"inputs": "bytes"}, "--inputs=bytes"),
        ("w4a4", {"bits": "w8a8"}, "--bits=w8a8: the run was trained with w4a4"),
        ("w8a8", {"format": "stablehlo"}, "--format=stablehlo has floats only"),
    ],
)
def test_what_cannot_be_exported_is_refused(tmp_path, exported_runs, name, options, message):
    with pytest.raises(UserError, match=message):
        export(of(exported_runs, name), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_either_a_run_or_weights():
    with pytest.raises(UserError, match="name either --run"):
        subject.chosen("", "last", "", "", 0, "data")
    with pytest.raises(UserError, match="--images is missing"):
        subject.chosen("", "last", "efficientnet_lite0", "", 0, "data")


def test_a_run_that_ended_with_few_bits_is_opened_with_them(exported_runs):
    trained = TrainedRun.open(exported_runs[0]["w8a8"], "last")
    assert isinstance(trained.model(), QuantizedModule)
    assert set(trained.variables()) == {"params", "zero_points"}


def test_a_number_among_the_weights_stays_one(tmp_path):
    weights = (np.float32(2.5) * np.ones(()), np.arange(6.0).reshape(2, 3).T)
    images = np.zeros((1, 2, 2, 1), np.float32)
    write_package(DeployedModel("stablehlo", b"", {}, images, {"logits": images}, 0.0, weights), tmp_path)
    with np.load(tmp_path / WEIGHTS_FILE) as found:
        kept = [found[name] for name in sorted(found.files)]
    assert [array.shape for array in kept] == [(), (3, 2)]
    np.testing.assert_array_equal(kept[1], weights[1])
