"""What is wrong with the data of an experiment, said before anything is trained."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from effjax.data.base import Source, stored
from effjax.data.checked_files import digest_of
from effjax.data.coco_source import CocoSource
from effjax.data.file_source import CheckedSource, FileSource
from effjax.data.image_files import named
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import UserError, check_known
from effjax.specs import Spec
from effjax.tasks import Task

_log = logging.getLogger("effjax")


def check_data(splits: Mapping[str, Source], settings: Mapping[str, Any], task: Task) -> None:
    """Refuses data that no network can be trained on; warns of images that are trained on and measured by.

    Args:
      splits: ``train`` and what is measured by.
      settings: ``config.data``.
      task: what is learnt.

    Raises:
      UserError: for a feature that the task learns and the data has not, one class,
        splits of other classes or channels, or a class that nothing in a folder shows.
    """
    train, name = splits["train"], settings["name"]
    for role, source in splits.items():
        _check_features(source, task, f"{name} ({role})")
    if task.of_classes and train.info.num_classes < 2:
        raise UserError(f"{name} has one class only ({train.info.class_names[0]}): there is nothing to tell apart")
    for role in (role for role in splits if role != "train"):
        _check_alike(splits[role], train, role, name)
        _warn_of_overlap(train, splits[role], role)
    if task.of_classes and isinstance(
        stored(train), CheckedSource
    ):  # of others, labels are read from the records, which takes time
        counts = np.bincount(train.column("label"), minlength=train.info.num_classes)
        empty = [name for name, count in zip(train.info.class_names, counts, strict=True) if not count]
        if empty:
            raise UserError(
                f"{name}: config.data.train={settings['train']!r} has no image of {named(empty)}; "
                "add some, or take a larger part"
            )


def _check_features(source: Source, task: Task, name: str) -> None:
    """Refuses a source that has not what networks read and learn, or has it in another shape."""
    found = source.info.features
    targets = {} if isinstance(source, UnlabelledFolder) else task.targets
    for feature in (*task.inputs, *targets):
        group = feature.partition("/")[0]
        if feature not in found and any(of.startswith(f"{group}/") and spec.is_ragged for of, spec in found.items()):
            raise UserError(
                f"{name}: images have as many {group} as they have: say how many fit, as many as the fullest has, e.g. "
                f"config.data.padded = {{{group!r}: 32}}"
            )
        check_known(feature, found, f"{name} has no {feature!r}, which the task {task.name!r} needs")
    for feature, spec in targets.items():
        if not _fits(found[feature], spec):
            raise UserError(
                f"{name}: {feature!r} has shape {found[feature].shape}, the task {task.name!r} learns {spec.shape}; "
                "config.data.padded makes room for features of differing length"
            )


def _fits(found: Spec, wanted: Spec) -> bool:
    """Whether a batch of a feature is what a task learns, which may leave open how many entries have room."""
    room = [one if other is None else other for one, other in zip(found.shape, wanted.shape, strict=False)]
    return len(found.shape) == len(wanted.shape) and tuple(room) == found.shape and not found.is_ragged


def _check_alike(other: Source, train: Source, role: str, name: str) -> None:
    ours, theirs = train.info.class_names, other.info.class_names
    if ours != theirs:
        raise UserError(f"{name}: train and {role} have different classes: {named(sorted({*ours} ^ {*theirs}))}")
    shape, its = train.info.image_shape, other.info.image_shape
    if shape and its and shape[-1] != its[-1]:
        kinds = ["grey" if one[-1] == 1 else "in colour" for one in (shape, its)]
        raise UserError(f"{name}: the images of train are {kinds[0]}, those of {role} {kinds[1]}: make them alike")


def _warn_of_overlap(train: Source, other: Source, role: str) -> None:
    same = _shared(train, other)
    if same:
        _log.warning(
            "%s of the images of train are in %s too, where accuracies are too good then; leave them out of one of "
            "the two: %s",
            *(f"{len(same):,}", role, named(same)),
        )


def _shared(train: Source, other: Source) -> list[str]:
    """What is in both, by content where that is known."""
    ours, theirs = stored(train), stored(other)
    if isinstance(theirs, CheckedSource | CocoSource) and isinstance(ours, CheckedSource | CocoSource):
        a, b = train.ids(), other.ids()
        _, rows, others = np.intersect1d(ours.digests[a], theirs.digests[b], return_indices=True)
        return [f"{ours.paths[i]} = {theirs.paths[j]}" for i, j in sorted(zip(a[rows], b[others], strict=True))]
    if isinstance(theirs, FileSource | CocoSource) and isinstance(ours, UnlabelledFolder):
        return _in_pool(ours, theirs, other.ids())
    if (ours.info.name, ours.info.split) != (theirs.info.name, theirs.info.split):
        return []
    return [f"example {id_}" for id_ in np.intersect1d(train.ids(), other.ids())]


def _in_pool(pool: UnlabelledFolder, folder: FileSource | CocoSource, ids: np.ndarray) -> list[str]:
    """The files of a folder that lie in a pool, too: only files of one size are read to compare them."""
    digests = {bytes(folder.digests[i]).decode(): folder.paths[i] for i in ids}
    sizes = {os.path.getsize(os.path.join(folder.root, folder.paths[i])) for i in ids}
    same = []
    for path in pool.paths:
        file = os.path.join(pool.root, path)
        try:
            if os.path.getsize(file) in sizes and (found := digests.get(digest_of(file))):
                same.append(f"{path} = {found}")
        except OSError:  # which whoever reads the pool will say
            continue
    return same
