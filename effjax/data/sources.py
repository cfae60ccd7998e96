"""Opening a dataset by name."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from effjax.data.base import Source, Subset, at_crop_pct
from effjax.data.file_kinds import Reading, file_kind, file_splits
from effjax.data.file_source import CheckedSource
from effjax.data.folder_layout import SHARES
from effjax.data.tfds_source import (
    TfdsSource,
    prepare_command,
    prepared_dir,
    require_known,
    tfds_splits,
)
from effjax.errors import UserError

_SPLIT = re.compile(r"(?P<name>[\w-]+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")


def load(
    name: str,
    split: str,
    data_dir: str | pathlib.Path | None = None,
    *,
    image_size: int | None = None,
    shares: Sequence[float] = SHARES,
    padded: Mapping[str, int] | None = None,
    crop_pct: float = 1.0,
) -> Source:
    """Opens a split for reading. Nothing is downloaded or prepared here.

    Args:
      name: one of ``builders.NAMES``; any other TFDS name, ``name[/config][:version]``, that is prepared in
        ``data_dir`` as array_record; or ``folder:/path/to/root`` for ``root/split/class/*.jpg`` or, divided into
        splits here, ``root/class/*.jpg``; ``csv:/path`` or ``parquet:/path`` for a table of paths and classes, see
        :func:`effjax.data.listed_files.listed_files`; ``webdataset:/path`` for tar files, ``hf:/path`` for a dataset
        of Hugging Face's hub, as parquet files or as ``save_to_disk`` wrote it; ``coco:/path`` for images with boxes in
        COCO's JSON, see :func:`effjax.data.coco_layout.coco_layout`; or ``vqa2:/path`` and ``gqa:/path`` for the
        official files of these.
      split: a split's name, or a part of one as ``train[:80%]`` or ``train[100:200]``. Ids are those of the whole
        split either way. Of a folder, a part is a random sample of every class, since its files lie by class; of
        other datasets, it is a stretch of the records.
      data_dir: the folder that datasets are prepared in. For images in a folder, where to remember that its files
        have been checked; None remembers nothing.
      image_size: None leaves images as they are stored. Otherwise each is decoded to a square of so many pixels:
        the shorter side is resized, the centre cut out. Boxes follow: what lies outside is cut off, a box of which
        less than a tenth is left is gone. Of a TFDS dataset these are its features of that kind (``BBoxFeature``);
        other positions in the image stay as stored.
      shares: of train, validation and test in a folder that is not divided into splits.
      padded: of a TFDS dataset or COCO's files, by feature (or group of features) of which each example has as many
        as it happens to have, how many fit. Such features are read padded, with ``name/valid``, a bool for each entry;
        without a number here they are not read.
      crop_pct: of the decoded square, how much of the middle it is, as timm has it: 1, all of the shorter side; 0.875,
        the shorter side is resized to image_size / 0.875, and the middle cut out. Not where there are boxes.

    Returns:
      The source, see ``base.Source``.

    Raises:
      UserError: for an unknown name or split, an unprepared dataset (with the command that prepares it), or an
        image folder that cannot be trained on (with all its broken files).
    """
    if image_size is not None and image_size < 1:
        raise UserError(f"image_size is {image_size}, but must be a positive number of pixels")
    whole, start, stop = _parse_split(split)
    if files := file_kind(name):
        kind, path = files
        if padded and kind.unpadded:
            raise UserError(f"config.data.padded={dict(padded)}: {kind.unpadded}")
        source = kind.opened(path, whole, Reading(image_size, data_dir, shares, padded))
    else:
        source = TfdsSource(name, whole, require_prepared(name, data_dir), image_size, padded)
    if crop_pct != 1:
        if not isinstance(source, CheckedSource) and (not isinstance(source, TfdsSource) or source.box_names):
            raise UserError(
                f"config.data.crop_pct={crop_pct}: what {name} knows of places in its images would not follow: say 1.0"
            )
        source = at_crop_pct(source, crop_pct)
    if (start, stop) == (None, None):
        return source
    return _part(source, split, start, stop)


def split_names(
    name: str, data_dir: str | pathlib.Path | None = None, *, shares: Sequence[float] = SHARES
) -> list[str]:
    """The names of a dataset's splits, in the order they are used. Arguments and errors as ``load``."""
    names = file_splits(name, shares=shares)
    if names is None:
        names = tfds_splits(name, require_prepared(name, data_dir))
    usual = ("train", "validation", "val", "test")
    return sorted(names, key=lambda split: (usual.index(split) if split in usual else len(usual), split))


def require_prepared(name: str, data_dir: str | pathlib.Path | None) -> pathlib.Path:
    """Returns the folder of a prepared dataset, or raises a ``UserError`` with the command that prepares it."""
    if data_dir is None:
        raise UserError(f"dataset {name!r} needs data_dir, the folder that it has been prepared in")
    if directory := prepared_dir(name, data_dir):
        return directory
    require_known(name, data_dir)
    raise UserError(
        f"dataset {name!r} is not prepared in {data_dir}; prepare it with: {prepare_command(name, data_dir)}"
    )


def dataset_and_split(text: str, split: str) -> tuple[str, str]:
    """Takes ``name@split`` apart; a name alone is of the split that is given.

    >>> dataset_and_split("voc/2012@validation[:80%]", "train")
    ('voc/2012', 'validation[:80%]')
    >>> dataset_and_split("voc/2012", "train")
    ('voc/2012', 'train')
    """
    name, _, own = text.rpartition("@")
    return (name, own) if name and _SPLIT.fullmatch(own) else (text, split)


def _parse_split(split: str) -> tuple[str, str | None, str | None]:
    match = _SPLIT.fullmatch(split)
    if not match:
        raise UserError(f"split {split!r} cannot be read: use train, train[:80%] or train[100:200]")
    return match["name"], match["start"], match["stop"]


def _part(source: Source, split: str, start: str | None, stop: str | None) -> Subset:
    total = len(source)
    order = source.drawing_order() if isinstance(source, CheckedSource) else np.arange(total)
    ids = np.sort(order[slice(_bound(start, total), _bound(stop, total))])
    if not ids.size:
        raise UserError(f"split {split!r} of {source.info.name!r} is empty: the whole split has {total} examples")
    part = Subset(source, ids)
    part.info = dataclasses.replace(part.info, split=split)
    return part


def _bound(text: str | None, total: int) -> int | None:
    if text is None:
        return None
    return round(int(text[:-1]) / 100 * total) if text.endswith("%") else int(text)
