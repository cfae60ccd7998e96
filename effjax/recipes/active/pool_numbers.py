"""An example of a folder is its path and what is in the file: its number stays, whatever is added or taken away."""

import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from PIL import Image

from effjax.data.image_files import named
from effjax.data.ledger import UNLABELABLE, Ledger
from effjax.data.pool_files import Numbers, number_files, placed, read_numbers
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import UserError
from effjax.recipes.active.folder import LoopFolder, loop_folders, pool_numbers_folder
from effjax.recipes.active.loop import UNREADABLE, now
from effjax.runtime.hosts import barrier, is_primary

_log = logging.getLogger("effjax")

# What was listed before ledgers noted names.
_OLD_EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def numbered_pool(pool: UnlabelledFolder, workdir: Path, name: str) -> UnlabelledFolder:
    """Gives the files of a pool the numbers that they have had so far in an experiment, and new ones to new files.

    What is new, gone or changed is said. A file that has changed since it was asked for is a new example.

    Args:
      pool: as it is listed.
      workdir: of the experiment; the numbers are noted there.
      name: of the pool in the config.

    Raises:
      UserError: if ledgers contradict each other, or one without names of files may be of other files.
    """
    folder = pool_numbers_folder(workdir)
    pool = pool.without(workdir)  # what loops write there shows images of the pool
    if is_primary():
        found = [loop.ledger() for loop in loop_folders(workdir)]
        ledgers = [
            ledger for ledger in found if ledger is not None and ledger.identity.get("data", {}).get("pool") == name
        ]
        numbers = _number(pool, folder, ledgers, name)
    barrier(f"{folder} numbered")
    if jax.process_count() > 1:
        numbers = _agree(numbers if is_primary() else None, read_numbers(folder))
    return pool.as_spelt(numbers.paths).numbered(numbers)


def name_files(ledger: Ledger, pool: UnlabelledFolder) -> None:
    """Notes in a ledger of before the files of what it has asked for."""
    ids = [id_ for id_, file in ledger.files().items() if file is None]
    ledger.name(dict(zip(ids, pool.files(ids), strict=True)), now())


def _number(pool: UnlabelledFolder, folder: Path, ledgers: Sequence[Ledger], name: str) -> Numbers:
    asked = _asked(ledgers)
    before = [path for part in read_numbers(folder) for path in part]
    pool = pool.as_spelt({*before, *asked.values()})
    if any(None in ledger.files().values() for ledger in ledgers):
        _adopt(pool, folder, ledgers, asked, before)
        before = before or [path for part in read_numbers(folder) for path in part]
    states = _states(pool, ledgers)
    same, changed = ({id_ for id_, _ in states[state]} for state in (True, False))
    unreadable = {path for _, path in states[None]}
    listing = [path for path in pool.paths if path not in unreadable]
    numbers = number_files(folder, listing, asked, same=same, changed=changed)
    known = set(before)
    if new := [path for path in numbers.paths[len(before) :] if before and path not in known]:
        _log.info("pool %s: %s", name, _some(new, "are new and join it", "is new and joins it"))
    _say_what_is_gone(listing, numbers, ledgers, name)
    return numbers


def _asked(ledgers: Sequence[Ledger]) -> dict[int, str]:
    """The file of each number that the ledgers name."""
    asked: dict[int, str] = {}
    by: dict[int, Path] = {}
    for ledger in ledgers:
        for id_, file in ledger.files().items():
            if file is None:
                continue
            if asked.setdefault(id_, file.path) != file.path:
                raise UserError(
                    f"{ledger.path} calls {file.path} number {id_}, {by[id_]} {asked[id_]}: they are not of one "
                    "experiment; take one of them out of this --workdir"
                )
            by.setdefault(id_, ledger.path)
    return asked


def _states(pool: UnlabelledFolder, ledgers: Sequence[Ledger]) -> dict[bool | None, set[tuple[int, str]]]:
    """The numbers and files that were asked for and are there: as they were, changed, or (None) not to be read."""
    there = set(pool.paths)
    files = {(id_, f) for ledger in ledgers for id_, f in ledger.files().items() if f is not None and f.path in there}
    known = sorted(files)
    states: dict[bool | None, set[tuple[int, str]]] = {True: set(), False: set(), None: set()}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for (id_, file), state in zip(known, threads.map(lambda one: pool.is_still(one[1]), known), strict=True):
            states[state].add((id_, file.path))
    return states


def _say_what_is_gone(listing: Sequence[str], numbers: Numbers, ledgers: Sequence[Ledger], name: str) -> None:
    there = set(listing)
    labelled = {id_ for ledger in ledgers for id_ in ledger.labels()}
    gone = [id_ for id_ in sorted(numbers.gone) if numbers.paths[id_]]
    lost = [id_ for id_ in gone if numbers.paths[id_] not in there]
    changed = [id_ for id_ in gone if numbers.paths[id_] in there]
    for ids, (several, one) in (
        (lost, ("are gone or unreadable, and not asked for", "is gone or unreadable, and not asked for")),
        (
            changed,
            (
                "are not as they were when they were asked for, and count as new",
                "is not as it was when it was asked for, and counts as new",
            ),
        ),
    ):
        if not ids:
            continue
        kept = len(labelled.intersection(ids))
        labels = f"; {kept} of the old ones {'have labels' if kept > 1 else 'has a label'}, kept but not used"
        what = _some([numbers.paths[id_] for id_ in ids], several, one)
        _log.warning("pool %s: %s%s", name, what, labels if kept else "")


def _some(paths: Sequence[str], several: str, one: str) -> str:
    return f"{len(paths):,} files {several}: {named(paths)}" if len(paths) > 1 else f"one file {one}: {paths[0]}"


def _adopt(
    pool: UnlabelledFolder, folder: Path, ledgers: Sequence[Ledger], asked: Mapping[int, str], before: Sequence[str]
) -> None:
    """Numbers a pool as ledgers without names of files have done, if that can be proved.

    What is labelled was shown: in the loop's folder lies a copy of each image, and the file of its number must give
    the same.
    """
    old = [path for path in pool.paths if os.path.splitext(path)[1].lower() in _OLD_EXTENSIONS]
    orders = [before] if before else [pool.paths, old]
    for order in orders:
        paths = order if before else placed(order, asked)
        numbered = pool.numbered(Numbers(paths, [len(paths)], frozenset()))
        wrong = next((found for ledger in ledgers if (found := _unproved(ledger, numbered))), "")
        if not wrong:
            if not before:
                number_files(folder, order, asked)
            return
    raise UserError(
        f"{wrong}: this ledger was begun when no names of files were noted, and files have been added to or removed "
        f"from {pool.root} since. Make the pool what it was when the loop began and run the same command once: then "
        "their names are noted, and the pool may change. Or begin a new loop with another --workdir"
    )


def _unproved(ledger: Ledger, pool: UnlabelledFolder) -> str:
    """What of a ledger's questions is not what the pool has under their numbers; empty if all is."""
    unreadable = {entry.id for entry in ledger.entries if entry.event == UNLABELABLE and entry.who == UNREADABLE}
    waiting, folder = set(ledger.open()), LoopFolder(ledger.path.parent)
    shown, files = folder.shown(), ledger.files()
    for (id_, _, _), round_ in ledger.last_asked().items():
        if files[id_] is not None or id_ in unreadable or (id_ in waiting and round_ not in shown):
            continue
        copy = folder.picture(round_, id_)
        if not copy.exists():
            return f"{copy} is missing, by which {ledger.path} could be checked"
        if id_ >= len(pool) or not _same(copy, pool[id_]["image"]):
            file = pool.paths[id_] if id_ < len(pool) else "no file"
            return f"{ledger.path}: example {id_}, shown in {copy}, is not {file}"
    return ""


def _same(copy: Path, pixels: np.ndarray) -> bool:
    """Whether an image is the copy, turned or mirrored at most: what cameras note of that was not always heeded."""
    try:
        with Image.open(copy) as image:
            shown = np.asarray(image)
    except Exception:  # Pillow's decoders raise nearly anything on damaged files
        return False
    if shown.size != pixels.size:
        return False
    shown = shown.reshape(pixels.shape)
    turned = [np.rot90(one, turns) for one in (shown, shown[:, ::-1]) for turns in range(4)]
    return any(np.array_equal(one, pixels) for one in turned)


def _agree(numbers: Numbers | None, parts: Sequence[Sequence[str]]) -> Numbers:
    """What the primary process has seen, in all processes: a file may come or go while they look."""
    paths = [path for part in parts for path in part]
    mask = np.zeros(len(paths), bool)
    if numbers is not None:
        mask[list(numbers.gone)] = True
    mask = np.asarray(multihost_utils.broadcast_one_to_all(mask))
    return Numbers(paths, [len(part) for part in parts], frozenset(np.flatnonzero(mask).tolist()))
