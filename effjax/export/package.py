"""The folder of an exported network: the model, what it is, some images and their answers, and a script that checks.

All of it is for people who have neither effjax nor JAX.
"""

import dataclasses
import importlib.resources
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from effjax.files import read_json, write_json, write_whole

DESCRIPTION_FILE = "model.json"
EXAMPLES_FILE = "examples.npz"
CHECK_FILE = "model_check.py"
MODEL_FILES = {"onnx": "model.onnx", "stablehlo": "model.stablehlo"}
WEIGHTS_FILE = "weights.npz"


@dataclasses.dataclass(frozen=True)
class DeployedModel:
    """What is exported.

    Attributes:
      format: ``onnx`` or ``stablehlo``.
      content: of the model's file.
      description: of the network, for ``model.json``.
      images: some that the model reads, ``[16, H, W, C]``, as it reads them.
      answers: what it answers to them, by output.
      tolerance: how far another machine's answers may be from these, as a share of the largest; 0 where a machine
        with the same arithmetic gives the same bits.
      weights: of a StableHLO file, which takes them as inputs, in order.
    """

    format: str
    content: bytes
    description: Mapping[str, Any]
    images: np.ndarray
    answers: Mapping[str, np.ndarray]
    tolerance: float
    weights: tuple[np.ndarray, ...] = ()


def write_package(model: DeployedModel, folder: Path) -> None:
    """Writes an exported network; every file is whole or not there, and the description comes last.

    Args:
      model: the network.
      folder: it is made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / MODEL_FILES[model.format], model.content)
    if model.weights:
        _write(folder / WEIGHTS_FILE, _arrays({f"{i:04d}": array for i, array in enumerate(model.weights)}))
    answers = {f"answers/{name}": array for name, array in model.answers.items()}
    _write(folder / EXAMPLES_FILE, _arrays({"images": model.images, **answers}))
    script = importlib.resources.files("effjax.export").joinpath(f"check_{model.format}.py").read_bytes()
    _write(folder / CHECK_FILE, script)
    write_json(folder / DESCRIPTION_FILE, {**model.description, "format": model.format, "tolerance": model.tolerance})


def read_description(folder: Path) -> dict[str, Any]:
    """Reads what an exported network is."""
    return read_json(folder / DESCRIPTION_FILE)


def zipped_size(content: bytes) -> int:
    """How many bytes a file has when it is zipped (deflate, level 9), as it is sent to devices."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("model", content)
    return len(packed.getvalue())


def _write(path: Path, content: bytes) -> None:
    write_whole(path, lambda file: file.write(content))


def _arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:  # what np.savez writes, whatever the arrays are called
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)
    return written.getvalue()
