"""What an experiment's folder has of a published comparison: accuracies of the seeds, and how far they are."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effjax.errors import UserError
from effjax.files import read_json, write_whole
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.schema.fields import plain
from effjax.recipes.schema.run_keys import Run
from effjax.recipes.train.finished import RESULT_FILE
from effjax.recipes.train.results import renamed
from effjax.reports.published import Own, beside, published, sources

_EXAMPLES = {"train": 50_000, "train[:90%]": 45_000}  # of CIFAR-100


def compare(workdirs: Sequence[str], results: str = "") -> str:
    """The published accuracies beside those of experiments' folders, as text.

    Args:
      workdirs: of experiments of ``configs/distill/cifar100.py``, each ``PAIR=folder``, or a folder that is called as
        its pair. Empty: what is published alone, of all pairs.
      results: a Markdown file to write besides; empty: none.

    Raises:
      UserError: if a folder is not there, or of no pair that anything is published of.
    """
    folders = dict(map(_pair_of, workdirs)) or dict.fromkeys(published()["pairs"])
    text, page = [], ["# Published accuracies on CIFAR-100, and one's own", ""]
    for pair, folder in folders.items():
        own, splits = own_results(folder) if folder else ({}, set())
        table, said = beside(pair, own), f"trained on {' and '.join(sorted(splits))}" if splits else ""
        title = f"{pair} {said}".strip()
        text += [title, table.text(), ""]
        page += [f"## {title}", "", table.markdown(), ""]
    notes = [_NOTE, *sources(list(folders))]
    if results:
        write_whole(Path(results), lambda file: file.write("\n".join([*page, *notes, ""]).encode()))
    return "\n".join([*text, *notes])


_NOTE = (
    "Own: the last epoch's test accuracy in percent, mean over the seeds ± half of its 95 % interval; measured once "
    "all runs of the experiment are trained."
)


def _pair_of(given: str) -> tuple[str, Path]:
    pair, equals, folder = given.partition("=")
    path = Path(folder if equals else given)
    if not path.is_dir():
        raise UserError(f"--workdirs={given}: there is no folder {path}")
    return (pair if equals else path.resolve().name), path


def own_results(workdir: Path) -> tuple[dict[str, Own], set[str]]:
    """What a folder has, by run, and the splits that were trained on."""
    found, splits = {}, set()
    for folder in sorted(path for path in workdir.iterdir() if any(path.glob("seed_*/checkpoints"))):
        accuracies, epochs, total = [], [], 0.0
        for seed in sorted(folder.glob("seed_*")):
            if not any((seed / "checkpoints").glob("[0-9]*")):
                continue
            run = TrainedRun.open(seed)
            done, total, split = _epochs(run)
            epochs.append(done)
            splits.add(split)
            if (seed / RESULT_FILE).exists():
                accuracies.append(renamed(read_json(seed / RESULT_FILE, "it is measured anew"))["test/accuracy"])
        if epochs:
            found[folder.name] = Own(accuracies, epochs, total)
    return found, splits


def _epochs(run: TrainedRun) -> tuple[float, float, str]:
    """How many a run has trained, how many it trains, and on which split."""
    said: Mapping[str, Any] = {**plain(Run()), **run.identity["run"]}
    split = run.identity["data"]["train"]
    each = _EXAMPLES.get(split, math.nan) / said["batch_size"]
    return run.step / each, said["steps"] / each if said["steps"] else said["epochs"], split
