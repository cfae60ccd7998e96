"""What reference runs make of the examples, kept: a run that goes on elsewhere goes on with the same scores."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from effjax.data.feeds import Feed
from effjax.files import StorageError, read_arrays
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.writing import write_primary
from effjax.recipes.train.difficulty import difficulty
from effjax.recipes.train.finished import FinishedRun

_log = logging.getLogger("effjax")

SCORES_FOLDER = "example_scores"


def kept_difficulty(key: str, by: str, references: Sequence[FinishedRun], feed: Feed, workdir: Path) -> np.ndarray:
    """Scores examples as :func:`~effjax.recipes.train.difficulty.difficulty` does, once for an experiment's folder.

    Sums of other machines are rounded otherwise, and the scores are a part of what makes a run the run that it is.

    Args:
      key: as there.
      by: as there.
      references: as there.
      feed: as there.
      workdir: the experiment's folder.

    Returns:
      As there, ``[num_ids]``.

    Raises:
      UserError: as there.
    """
    path = workdir / SCORES_FOLDER / f"{by}_{_digest(references, feed)}.npz"
    if path.exists():
        try:
            found = read_arrays(path)
            if _sum(found["scores"]) == str(found["sha256"]):
                return found["scores"]
            _log.warning("%s is not what was written: examples are scored anew", path)
        except (StorageError, KeyError) as error:
            _log.warning("%s: examples are scored anew", error)
    scores = difficulty(key, by, references, feed)
    write_primary(path, lambda file: np.savez(file, scores=scores, sha256=np.array(_sum(scores))))
    return scores


def _digest(references: Sequence[FinishedRun], feed: Feed) -> str:
    """Of what the scores are made of: the references, which have learnt the labels, and the examples."""
    digest = hashlib.sha256()
    for reference in references:
        digest.update(f"{reference.name} {reference.seed} {params_sha256(reference.last.variables())}".encode())
    digest.update(np.ascontiguousarray(feed.joined.ids()).tobytes())
    return digest.hexdigest()[:24]


def _sum(scores: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(scores).tobytes()).hexdigest()
