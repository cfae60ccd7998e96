"""The folder of a labelling loop: the one place that knows what its files are called, and reads them."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from effjax.data.ledger import Ledger
from effjax.files import read_arrays, read_json
from effjax.recipes.build.experiment import run_folder

LEDGER_FILE = "ledger.jsonl"
RESULT_FILE = "result.json"
ANEW = f"remove the {RESULT_FILE} beside it, then run the same command again: the round is trained and measured anew"


@dataclasses.dataclass(frozen=True)
class LoopFolder:
    """The folder of one loop, a run of one seed; or of several that train together, which has their networks only.

    In it lie the ledger, what people are asked (``queries``), and a folder for each round. What is not there is None
    or empty to those who read it.
    """

    path: Path

    @classmethod
    def of(cls, workdir: Path, name: str, seed: int) -> "LoopFolder":
        """That of a run of an experiment."""
        return cls(run_folder(workdir, name, seed))

    @property
    def ledger_file(self) -> Path:
        return self.path / LEDGER_FILE

    @property
    def questions(self) -> Path:
        """What people are handed; a folder a round, like those of :meth:`round`, lies in it."""
        return self.path / "queries"

    def round(self, round_: int) -> Path:
        """What a round has made."""
        return self.path / round_name(round_)

    def result_file(self, round_: int) -> Path:
        """What a round measured on validation; where it is, the round is done."""
        return self.round(round_) / RESULT_FILE

    def test_file(self, round_: int) -> Path:
        """What it measured on the test split."""
        return self.round(round_) / "test.json"

    def test_probs_file(self, round_: int) -> Path:
        """Its answers on the test split."""
        return self.round(round_) / "test_probs.npy"

    def test_predictions_file(self, round_: int) -> Path:
        """The same of what are no classes."""
        return self.round(round_) / "test_predictions.npz"

    def map_file(self, round_: int) -> Path:
        """The dataset map of what it trained on."""
        return self.round(round_) / "map.npz"

    def queries_file(self, round_: int) -> Path:
        """What was chosen, and why."""
        return self.round(round_) / "queries.json"

    def removed_file(self, round_: int) -> Path:
        """What was left out as unlearnable."""
        return self.round(round_) / "removed.json"

    def stream_file(self, round_: int) -> Path:
        """Where a stream stands after it."""
        return self.round(round_) / "stream.npz"

    def checkpoints(self, round_: int) -> Path:
        """Its networks."""
        return self.round(round_) / "checkpoints"

    def ledger(self) -> Ledger | None:
        """What was asked and answered.

        Raises:
          UserError: if the file is damaged.
        """
        return Ledger(self.ledger_file) if self.ledger_file.exists() else None

    def result(self, round_: int) -> dict[str, Any] | None:
        """What a round measured on validation."""
        found = _read(self.result_file(round_))
        # An earlier version wrote a split and a metric with another sign between them.
        return found and {re.sub(r"^(validation|test)_", r"\1/", name): value for name, value in found.items()}

    def queries(self, round_: int) -> dict[int, Mapping[str, Any]]:
        """By global id, ``score``, ``nearest`` and ``distance`` of what was asked in a round."""
        return {query["id"]: query for query in _read(self.queries_file(round_)) or []}

    def map(self, round_: int) -> Mapping[str, np.ndarray] | None:
        """Of what a round trained on: ``id``, ``label``, ``confidence``, ``variability``, ``correctness``."""
        return _read(self.map_file(round_))

    def last_map(self) -> tuple[int, Mapping[str, np.ndarray]] | None:
        """The last round with a dataset map, and the map."""
        rounds = [round_ for round_ in self._rounds() if self.map_file(round_).exists()]
        return (rounds[-1], _read(self.map_file(rounds[-1]))) if rounds else None

    def removed(self) -> Mapping[str, Any] | None:
        """What was removed last: ``by``, ``share``, ``source``, ``ids``."""
        rounds = [round_ for round_ in self._rounds() if self.removed_file(round_).exists()]
        return _read(self.removed_file(rounds[-1])) if rounds else None

    def test_probs(self, round_: int) -> np.ndarray | None:
        """Probabilities on the test split, ``[N, C]``, before temperature scaling."""
        return _read(self.test_probs_file(round_))

    def shown(self) -> set[int]:
        """The rounds in which people have been handed something."""
        return set(_rounds_in(self.questions))

    def picture(self, round_: int, id_: int) -> Path:
        """Of an example, as people were shown it in a round before there were photos."""
        return self.questions / round_name(round_) / "images" / f"{id_}.png"

    def _rounds(self) -> list[int]:
        return sorted(_rounds_in(self.path))


def loop_folders(workdir: Path) -> list[LoopFolder]:
    """The folders of all loops of an experiment that have asked something, in order."""
    return [LoopFolder(path.parent) for path in sorted(workdir.glob(f"*/seed_*/{LEDGER_FILE}"))]


def pool_numbers_folder(workdir: Path) -> Path:
    """Where an experiment notes the numbers of its pool's files."""
    return workdir / "pool_files"


def round_name(round_: int) -> str:
    """What a round's folder is called, whoever's it is."""
    return f"round_{round_:02d}"


def _rounds_in(folder: Path) -> Iterator[int]:
    found = (re.fullmatch(r"round_(\d+)", path.name) for path in folder.glob("round_*"))
    return (int(match[1]) for match in found if match)


def _read(path: Path) -> Any:
    if not path.exists():
        return None
    return read_json(path) if path.suffix == ".json" else read_arrays(path, ANEW)
