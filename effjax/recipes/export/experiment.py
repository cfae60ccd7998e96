"""Writes a trained network as files that other runtimes execute, and reads them back before it says that it has."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as stablehlo

from effjax.errors import UserError, check_known
from effjax.export.package import (
    CHECK_FILE,
    MODEL_FILES,
    DeployedModel,
    write_package,
    zipped_size,
)
from effjax.export.sessions import check_installed, onnx_session
from effjax.models import QuantizedModule, Scheme
from effjax.quantization import CALIBRATIONS
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.export.deployable import Deployable, deployable, in_float32
from effjax.recipes.export.subject import Subject
from effjax.reports.provenance import provenance

_log = logging.getLogger("effjax")

INPUTS = ("float", "uint8")
PLATFORMS = ("cpu", "cuda", "tpu")
_EXAMPLES = 16
_TOLERANCE = 1e-5


def export(
    subject: Subject,
    out: str | Path,
    *,
    format: str = "onnx",
    bits: str = "",
    calibration: str = "mse",
    calibrate: int = 512,
    inputs: str = "float",
) -> dict[str, Any]:
    """Exports a network to a folder.

    Args:
      subject: the network, and images for it.
      out: the folder; a model that is there already is replaced.
      format: one of ``MODEL_FILES``.
      bits: quantises a network of floats first, ``w8a8``; empty leaves it as it is.
      calibration: one of :data:`effjax.quantization.CALIBRATIONS`.
      calibrate: how many training images it looks at.
      inputs: one of ``INPUTS``: images as the network's first layer reads them, or bytes, which the file normalises.

    Returns:
      What ``model.json`` says.

    Raises:
      UserError: if anything given cannot be used, or the file does not answer as the network does.
    """
    check_known(format, MODEL_FILES, f"--format={format}")
    check_known(inputs, INPUTS, f"--inputs={inputs}")
    check_known(calibration, CALIBRATIONS, f"--calibration={calibration}")
    if format == "onnx":
        check_installed()
    elif bits or isinstance(cast(Any, subject.network.module), QuantizedModule):
        raise UserError(f"--format={format} has floats only: for few bits take --format=onnx")
    if format == "onnx":
        description = export_onnx(subject, deployable(subject, bits, calibration, calibrate), out, inputs)
    else:
        description = _written(_as_stablehlo(subject, inputs), Path(out))
    _check(Path(out))
    return description


def export_onnx(subject: Subject, network: Deployable, out: str | Path, inputs: str = "float") -> dict[str, Any]:
    """The same of a network that :func:`deployable` has settled, but for the check in a process of its own.

    Args:
      subject: whose network it is.
      network: the same.
      out: as of :func:`export`.
      inputs: as of :func:`export`.

    Returns:
      What ``model.json`` says.

    Raises:
      UserError: if the file does not answer as the network does.
    """
    view, pixels = subject.network.view, subject.pixels(_EXAMPLES)
    normalised: dict[str, Any] = {"mean": view.mean, "std": view.std} if inputs == "uint8" else {}
    model = network.to_onnx(**normalised)
    content, images = model.SerializeToString(), _read(subject, pixels, inputs)
    names = [output.name for output in model.graph.output]
    answers = network.answers(subject.shown(pixels))
    expected = dict(zip(names, map(np.asarray, jax.tree.leaves(answers)), strict=True))
    found = dict(zip(names, onnx_session(content).run(None, {"images": images}), strict=True))
    _compare(found, expected, network.scheme)
    description = _description(subject, content, inputs, network.scheme) | dict(network.facts)
    tolerance = 0.0 if network.scheme else _TOLERANCE
    return _written(DeployedModel("onnx", content, description, images, found, tolerance), Path(out))


def _written(made: DeployedModel, folder: Path) -> dict[str, Any]:
    """Writes the folder of an exported network."""
    write_package(made, folder)
    sizes = [f"{made.description[key]:,}" for key in ("bytes", "bytes_zipped")]
    _log.info("wrote %s: %s bytes, %s zipped", folder / MODEL_FILES[made.format], *sizes)
    return dict(made.description)


def _as_stablehlo(subject: Subject, inputs: str) -> DeployedModel:
    variables, leaves_of = subject.effective, jax.tree.structure(subject.effective)
    pixels = subject.pixels(_EXAMPLES)

    @in_float32
    def model(weights: list[jax.Array], images: jax.Array) -> dict[str, jax.Array]:
        seen = subject.shown(images) if inputs == "uint8" else images
        outputs = subject.network.module.apply(jax.tree.unflatten(leaves_of, weights), seen)
        return _by_name(outputs)

    weights = tuple(np.asarray(leaf) for leaf in jax.tree.leaves(variables))
    (batch,) = stablehlo.symbolic_shape("batch")
    kind = jnp.uint8 if inputs == "uint8" else jnp.float32
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in weights]
    images = jax.ShapeDtypeStruct((batch, *subject.image_shape), kind)
    exported = stablehlo.export(jax.jit(model), platforms=PLATFORMS)(shapes, images)
    content = bytes(exported.serialize())
    given = _read(subject, pixels, inputs)
    answers = {name: np.asarray(array) for name, array in jax.jit(model)(list(weights), given).items()}
    found = jax.jit(stablehlo.deserialize(bytearray(content)).call)(list(weights), given)
    _compare({name: np.asarray(array) for name, array in found.items()}, answers, None)
    description = _description(subject, content, inputs, None, b"".join(map(np.ndarray.tobytes, weights))) | {
        "platforms": list(PLATFORMS)
    }
    return DeployedModel("stablehlo", content, description, given, answers, _TOLERANCE, weights)


def _read(subject: Subject, pixels: np.ndarray, inputs: str) -> np.ndarray:
    """What the file reads."""
    return pixels if inputs == "uint8" else np.asarray(subject.shown(pixels), np.float32)


def _by_name(outputs: Any) -> dict[str, jax.Array]:
    preds = outputs.preds
    return {"logits": preds} if isinstance(preds, jax.Array) else cast(dict[str, jax.Array], preds)


def _compare(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], scheme: Scheme | None) -> None:
    """Refuses a file that does not answer as the network does.

    Raises:
      UserError: saying by how much.
    """
    for name, answer in expected.items():
        largest = float(np.abs(answer).max()) or 1.0
        difference = float(np.abs(found[name] - answer).max()) / largest
        allowed = _TOLERANCE if scheme is None else 0.2
        if not difference <= allowed:
            raise UserError(
                f"the exported {name} differ from the network's by {difference:.1e} of the largest, {allowed:.0e} is "
                "allowed: nothing was written"
            )


def _description(
    subject: Subject, content: bytes, inputs: str, scheme: Scheme | None, weights: bytes = b""
) -> dict[str, Any]:
    facts = provenance()
    return {
        **subject.facts,
        "classes": list(subject.class_names),
        "image_size": list(subject.image_shape),
        "inputs": "uint8, as stored" if inputs == "uint8" else "float32, (pixel / 255 − mean) / std",
        "mean": list(subject.network.view.mean),
        "std": list(subject.network.view.std),
        "bits": str(scheme) if scheme else "float32",
        "bytes": len(content) + len(weights),
        "bytes_zipped": zipped_size(content + weights),
        "params_sha256": params_sha256(subject.variables["params"]),
        "versions": facts["versions"],
        "hardware": facts["hardware"],
        "command": facts["command"],
    }


def _check(folder: Path) -> None:
    """Runs the folder's own script, in a process that knows nothing of effjax.

    Raises:
      UserError: with what it says.
    """
    done = subprocess.run([sys.executable, "-I", str(folder / CHECK_FILE)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{folder / CHECK_FILE}: {done.stderr.strip().splitlines()[-1]}")
    _log.info("checked by %s", folder / CHECK_FILE)
