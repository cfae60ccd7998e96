"""A file that a trained network becomes: written once, and anew where the network or what is asked has changed."""

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from effjax import models
from effjax.export.package import MODEL_FILES
from effjax.files import StorageError, damaged, read_json
from effjax.models import QuantizedModule
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.writing import write_measured
from effjax.recipes.export import subject as exported
from effjax.recipes.export.deployable import Deployable, deployable
from effjax.recipes.export.experiment import export_onnx
from effjax.recipes.train.finished import FinishedRun
from effjax.typing import PyTree

_log = logging.getLogger("effjax")

RECORD_FILE = "export.json"
_ANEW = "it is made anew"
_HOW = ("bits", "calibration", "calibrate")


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A file that a trained network becomes.

    Attributes:
      name: of the export.
      export: its config.
      done: the run.
      step: ``"last"`` or ``"best"``, which of its networks.
      folder: where it lies.
      source: of training images, stored examples by row.
    """

    name: str
    export: Mapping[str, Any]
    done: FinishedRun
    step: str
    folder: Path
    source: Any

    @property
    def path(self) -> Path:
        """The model's own."""
        return self.folder / MODEL_FILES["onnx"]

    @functools.cached_property
    def variables(self) -> PyTree:
        """The network's, on the host."""
        return self.done.variables(self.step)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What makes the file what it is."""
        return {"variables_sha256": params_sha256(self.variables), **{key: self.export[key] for key in _HOW}}

    @functools.cached_property
    def subject(self) -> exported.Subject:
        """The network, with training images."""
        return exported.of_trained(self.done.trained(self.step), self.source)

    @functools.cached_property
    def network(self) -> Deployable:
        """The network as it is written; calibrated where it is quantised after training."""
        return deployable(self.subject, *(self.export[key] for key in _HOW))

    def release(self) -> None:
        """Forgets the network: what many files have read would not fit into memory."""
        for name in ("variables", "subject", "network"):
            self.__dict__.pop(name, None)

    @functools.cached_property
    def record(self) -> dict[str, Any]:
        """What is known of the file, which is written where it is not there as it should be.

        ``identity``, ``model_sha256``, ``bits``, ``bytes``, ``bytes_zipped``, ``parameters``, ``nonzero`` (of these)
        and ``multiply_adds`` of one image.

        Raises:
          UserError: if it cannot be written, or does not answer as the network does.
        """
        known = known_as(self.folder / RECORD_FILE, self.identity)
        if known is not None and self._sha256() == known["model_sha256"]:
            return known
        description = export_onnx(self.subject, self.network, self.folder)
        module: Any = self.subject.network.module
        floats = module.module if isinstance(module, QuantizedModule) else module
        record = {
            "identity": self.identity,
            "model_sha256": self._sha256(),
            **{key: description[key] for key in ("bits", "bytes", "bytes_zipped")},
            "parameters": sum(array.size for array in self.network.weights),
            "nonzero": sum(int(np.count_nonzero(array)) for array in self.network.weights),
            "multiply_adds": models.flops(floats, self.subject.image_shape) / 2,
        }
        write_measured(self.folder / RECORD_FILE, record)
        return record

    def _sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest() if self.path.exists() else ""


def known_as(path: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an earlier process has written of the same; None where it is missing, damaged or of something else."""
    if not path.exists():
        return None
    try:
        known = read_json(path, _ANEW)
        if not isinstance(known, dict) or "identity" not in known:
            raise damaged(path, "it does not say what it is of", _ANEW)
    except StorageError as error:
        _log.warning("%s", error)
        return None
    return known if known["identity"] == identity else None
