"""Choosing what to label next from a folder of one's own images, with networks of one's own."""

import csv
import dataclasses
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from effjax import selection
from effjax.data.base import Subset
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import UserError, check_known, printable
from effjax.files import spreadsheet_safe, spreadsheet_text, write_whole
from effjax.recipes.active.acquisition import OF_SEVERAL, needs_several
from effjax.recipes.active.oracles.tables import read_table
from effjax.recipes.active.pool import PoolPredictor, predictions_of
from effjax.recipes.active.shown import path_of, photo_of
from effjax.recipes.build.early_checks import check_writable
from effjax.recipes.build.trained import TrainedRun
from effjax.reports.numbered_sheet import numbered_sheet
from effjax.runtime import jit_backend
from effjax.selection.registry import OF_OBJECTS, RANDOM, RANKS, SELECTORS, Candidates, Objects
from effjax.steps import stack_members
from effjax.steps.predictions import check_dropout
from effjax.typing import PyTree
from effjax.uncertainty import SCORES

_log = logging.getLogger("effjax")


QUERIES_FILE, SHEET_FILE = "queries.csv", "sheet.png"
_SHOWN, _CELL = 64, 192  # pictures on the sheet, and the side of one
_LISTED = 5  # broken files named in one line; more are counted
# Selectors that compare examples with one another hold so many; a pool beyond that is narrowed down by score first.
_MOST_CANDIDATES = 20_000


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """An image to label.

    Attributes:
      path: relative to the pool.
      score: higher is less sure; None where nothing was scored.
      guess: the class that the network takes it for.
      confidence: the probability that it gives that class.
    """

    path: str
    score: float | None
    guess: str
    confidence: float

    def __str__(self) -> str:
        return printable(f"{self.score:.4f}  {self.path}  ({self.guess}, {self.confidence:.0%})")


def choose(
    runs: Sequence[str],
    pool: str,
    out: str | Path,
    *,
    k: int,
    score: str = "entropy",
    predictions: str = "",
    selector: str = "top_k",
    passes: int = 25,
    image_size: int = 0,
    without: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 256,
) -> list[Suggestion]:
    """Scores a folder of images and picks those to label; the pool may be larger than memory.

    Args:
      runs: folders of trained runs, each with ``checkpoints/``; several of one architecture are an ensemble.
      pool: a folder of images, of any depth.
      out: the folder to write ``queries.csv`` and ``sheet.png`` to.
      k: how many.
      score: one of :mod:`effjax.uncertainty`.
      predictions: ``"single"``, ``"ensemble"``, ``"dropout"`` or ``"augmentations"``; empty: by the number of runs.
      selector: as in :func:`effjax.recipes.schema.query`, but for ``"stream"``.
      passes: with dropout or of augmentations.
      image_size: that images are decoded to; 0: what the runs were trained at.
      without: earlier ``queries.csv``: what they name is not asked for again.
      seed: of every draw.
      batch_size: images at a time.

    Returns:
      What was chosen, in that order.

    Raises:
      UserError: if anything given cannot be used.
    """
    check_choice(score, selector)
    check_writable(Path(out), f"--out={out}")
    _check_no_labels(Path(out) / QUERIES_FILE)
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise UserError(f"--runs={','.join(map(str, runs))}: one is named twice, which would agree with itself")
    trained = [TrainedRun.open(run, several=True) for run in runs]
    if not trained[0].task.of_classes:
        raise UserError(
            f"--runs={runs[0]}: it has learnt the task {trained[0].task.name!r}; allowed: classes. What to label of "
            "other tasks is chosen by a labelling loop (launch.active, with config.data.pool)"
        )
    model, variables, members = _network(trained)
    kind = predictions or ("ensemble" if members > 1 else "single")
    if (kind == "ensemble") != (members > 1):
        raise UserError(f"--predictions={kind} of {members} networks: an ensemble has several members, the others one")
    for flag, given in (("score", score), ("selector", selector)):
        if kind == "single" and selector != RANDOM and given in OF_SEVERAL[flag]:
            raise UserError(needs_several(f"--{flag}", given, flag))
    size = image_size or trained[0].identity["data"]["image_size"]
    if not size:
        raise UserError(f"{runs[0]} was trained on images as they were stored: say --image_size")
    one = variables if kind != "ensemble" else jax.tree.map(lambda x: x[0], variables)
    channels = _channels(model, one, size, trained[0].view)
    if kind == "dropout":
        check_dropout(model, one, jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32))
    source = UnlabelledFolder(
        pool,
        image_size=size,
        channels=channels,
        class_names=trained[0].identity["class_names"],
        crop_pct=trained[0].identity["data"].get("crop_pct", 1.0),
    )
    source = source.without(out)  # a sheet of images is none
    _log.info("%s: %s images", pool, f"{len(source):,}")
    options = {"backend": jit_backend(), "batch_size": batch_size, "passes": passes}
    predict = PoolPredictor(trained[0].network(), trained[0].task.items, kind, **options)
    free = np.setdiff1d(np.arange(len(source)), _named(without, source))
    with predictions_of(f"--runs={','.join(map(str, runs))}"):
        ids = _select(predict, variables, source, free, selector, SCORES[score], k, seed)
        chosen = _described(predict, variables, source, ids, SCORES[score], seed)
    _write(Path(out), chosen, source, ids)
    return chosen


def _check_no_labels(path: Path) -> None:
    """Refuses to write over what somebody has labelled.

    Raises:
      UserError: if there are labels in an earlier table, or nobody knows.
    """
    if not path.exists():
        return
    try:
        labelled = any(row["label"].strip() for _, row in read_table(path, ("label",), "surrogateescape"))
    except UserError as error:
        raise UserError(f"{path} is no table that can be written over: give another --out, or take it away") from error
    if labelled:
        raise UserError(f"{path} holds labels, which would be lost: give another --out, or take it away")


def check_choice(score: str, selector: str) -> None:
    """Refuses a score or a selector that there is not.

    Raises:
      UserError: naming the nearest.
    """
    selectors = [name for name in (*RANKS, *SELECTORS, RANDOM) if name not in OF_OBJECTS]
    for flag, value, allowed in (("score", score, SCORES), ("selector", selector, selectors)):
        check_known(value, allowed, f"--{flag}={value}")


def _network(trained: Sequence[TrainedRun]) -> tuple[nn.Module, PyTree, int]:
    """The model, its variables and how many networks they are of; of several, the members' axis first."""
    for other in trained[1:]:
        for fact in ("class_names", "view"):
            if other.identity[fact] != trained[0].identity[fact]:
                raise UserError(f"{other.folder} and {trained[0].folder} differ in {fact}: they are no ensemble")
        if other.model() != trained[0].model():
            raise UserError(f"{other.folder} and {trained[0].folder} differ in model: they are no ensemble")
    variables, query = [one.variables() for one in trained], trained[0].identity["run"].get("query", {})
    if query.get("predictions") == "ensemble":  # a labelling loop's: its members lie in one checkpoint
        if len(trained) > 1:
            raise UserError(f"{trained[0].folder} is an ensemble by itself: give it alone")
        return trained[0].model(), variables[0], jax.tree.leaves(variables[0])[0].shape[0]
    together = variables[0] if len(variables) == 1 else jax.tree.map(np.asarray, stack_members(variables))
    return trained[0].model(), together, len(trained)


def _channels(model: nn.Module, variables: PyTree, size: int, view) -> int:
    """The channels of the images that the variables fit."""

    def shapes(tree: PyTree) -> Any:
        return jax.tree.map(lambda x: x.shape, tree)

    for channels in (1, 3):
        image = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)
        try:
            expected = jax.eval_shape(model.init, jax.random.key(0), image)
        except (TypeError, ValueError):  # a network that cannot see such an image
            continue
        if shapes(expected["params"]) == shapes(variables["params"]) and len(view.mean) in (1, channels):
            return channels
    raise UserError(f"the network does not fit images of {size}×{size} pixels: give the --image_size it was trained at")


def _select(predict, variables, source, free: np.ndarray, selector: str, score, k: int, seed: int) -> np.ndarray:
    """Global ids, none of them of a file that cannot be read."""
    while True:
        readable = np.setdiff1d(free, list(source.broken))
        if k > len(readable):
            raise UserError(f"--k={k}: {len(readable):,} images are there to choose from{_broken(source)}")
        known = len(source.broken)
        ids = _ids(predict, variables, source, readable, selector, score, k, seed)
        if not set(source.broken) & set(ids.tolist()):
            if source.broken:
                _log.warning("left out: %s", _broken(source).removeprefix("; "))
            return ids
        assert len(source.broken) > known  # each time fewer are left


def _ids(predict, variables, source, free: np.ndarray, selector: str, score, k: int, seed: int) -> np.ndarray:
    key = jax.random.key(seed)
    if selector == RANDOM:
        return free[np.asarray(selection.random_batch(key, len(free), k))]
    if selector in RANKS:
        return predict.top(variables, Subset(source, free), k, score, RANKS[selector], seed)[0]
    if len(free) > _MOST_CANDIDATES:
        _log.info("%s sees the %s images of the highest scores", selector, f"{_MOST_CANDIDATES:,}")
        free = np.sort(predict.top(variables, Subset(source, free), max(_MOST_CANDIDATES, k), score, None, seed)[0])
    probs, features = predict(variables, Subset(source, free), seed)
    nothing = np.zeros((0, features.shape[-1]), np.float32)
    candidates = Candidates(key, probs, features, np.asarray(score(probs)), lambda: nothing, _no_objects)
    return free[np.asarray(SELECTORS[selector](candidates, k))]


def _no_objects() -> Objects:
    raise NotImplementedError  # no selector that is allowed here asks for any


def _described(predict, variables, source, ids: np.ndarray, score, seed: int) -> list[Suggestion]:
    probs, _ = predict(variables, Subset(source, ids), seed)
    scores, mean = np.asarray(score(probs)), probs.mean(0)
    guesses = mean.argmax(-1)
    return [
        Suggestion(source.paths[id_], float(scores[i]), source.info.class_names[guesses[i]], float(mean[i].max()))
        for i, id_ in enumerate(ids)
    ]


def _named(files: Sequence[str], source: UnlabelledFolder) -> np.ndarray:
    """The ids of what earlier queries name."""
    ids = {path: id_ for id_, path in enumerate(source.paths)}
    named: list[int] = []
    for file in files:
        try:
            rows = read_table(Path(file), ("path",), "surrogateescape")
        except OSError as error:
            raise UserError(f"--without={file} cannot be read: {error.strerror}") from error
        paths = [spreadsheet_text(row["path"]) for _, row in rows]
        named += [ids[path] for path in paths if path in ids]
    return np.asarray(named, np.int64)


def _write(out: Path, chosen: Sequence[Suggestion], source: UnlabelledFolder, ids: np.ndarray) -> None:
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(("number", "path", "score", "guess", "confidence", "label"))
    for number, c in enumerate(chosen, start=1):
        said = (spreadsheet_safe(c.path), f"{c.score:.6g}", spreadsheet_safe(c.guess), f"{c.confidence:.4f}", "")
        writer.writerow((number, *said))
    write_whole(out / QUERIES_FILE, lambda file: file.write(table.getvalue().encode(errors="surrogateescape")))
    pictures = [photo_of(source, id_, most=_CELL, least=_CELL) for id_ in ids[:_SHOWN]]
    paths = [path_of(source, id_) for id_ in ids[:_SHOWN]]
    sheet = numbered_sheet(pictures, range(1, len(pictures) + 1), paths, cell=_CELL)
    write_whole(out / SHEET_FILE, lambda file: sheet.save(file, "PNG"))
    _log.info("wrote %s and %s", out / QUERIES_FILE, out / SHEET_FILE)


def _broken(source: UnlabelledFolder) -> str:
    if not source.broken:
        return ""
    listed = [f"{source.paths[id_]} ({why})" for id_, why in sorted(source.broken.items())[:_LISTED]]
    more = f" and {len(source.broken) - _LISTED} more" if len(source.broken) > _LISTED else ""
    return f"; {len(source.broken)} images cannot be read: {', '.join(listed)}{more}"
