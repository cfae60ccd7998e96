"""What a labelling loop has left in its folder. Whatever is not there is None or empty."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from effjax.data.ledger import Ledger
from effjax.files import read_arrays, read_json
from effjax.recipes.active.loop import LEDGER_FILE

PROBS_FILE, QUERIES_FILE, MAP_FILE, REMOVED_FILE = "test_probs.npy", "queries.json", "map.npz", "removed.json"


@dataclasses.dataclass(frozen=True)
class LoopFolder:
    """The folder of one loop: a run of one seed."""

    path: Path

    def ledger(self) -> Ledger | None:
        """What was asked and answered.

        Raises:
          UserError: if the file is damaged.
        """
        path = self.path / LEDGER_FILE
        return Ledger(path) if path.exists() else None

    def queries(self, round_: int) -> dict[int, Mapping[str, Any]]:
        """By global id, ``score``, ``nearest`` and ``distance`` of what was asked in a round."""
        found = self._json(round_, QUERIES_FILE) or []
        return {query["id"]: query for query in found}

    def last_map(self) -> tuple[int, Mapping[str, np.ndarray]] | None:
        """The last round with a dataset map; ``id``, ``label``, ``confidence``, ``variability``, ``correctness``."""
        rounds = self._rounds_with(MAP_FILE)
        if not rounds:
            return None
        return rounds[-1], read_arrays(self._folder(rounds[-1]) / MAP_FILE)

    def removed(self) -> Mapping[str, Any] | None:
        """What was removed last: ``by``, ``share``, ``source``, ``ids``."""
        rounds = self._rounds_with(REMOVED_FILE)
        return self._json(rounds[-1], REMOVED_FILE) if rounds else None

    def test_probs(self, round_: int) -> np.ndarray | None:
        """Probabilities on the test split, ``[N, C]``, before temperature scaling."""
        path = self._folder(round_) / PROBS_FILE
        return read_arrays(path) if path.exists() else None

    def _folder(self, round_: int) -> Path:
        return self.path / f"round_{round_:02d}"

    def _rounds_with(self, file: str) -> list[int]:
        found = (re.fullmatch(r"round_(\d+)", path.parent.name) for path in self.path.glob(f"round_*/{file}"))
        return sorted(int(match[1]) for match in found if match)

    def _json(self, round_: int, file: str) -> Any:
        path = self._folder(round_) / file
        return read_json(path) if path.exists() else None
