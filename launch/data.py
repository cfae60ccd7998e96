"""Prepares a dataset and describes it.

    python -m launch.data --dataset=digits --data_dir=data

prints its splits, counts and classes, and draws contact_sheet.png next to it, with boxes where there are any. What is
prepared stays as it is. Of a folder of images it says besides what no network could be trained on. Exit codes: those of
launch.train.
"""

import pathlib

import numpy as np
from absl import flags, logging
from PIL import Image

from effjax import files
from effjax.data import builders
from effjax.data.base import Source
from effjax.data.builders import official
from effjax.data.coco_source import CocoSource
from effjax.data.file_kinds import FILE_KINDS, file_kind
from effjax.data.folder_layout import usual_name
from effjax.data.prepare import prepare
from effjax.data.sources import load, split_names
from effjax.data.tfds_source import TfdsSource
from effjax.errors import UserError, printable
from effjax.reports.dataset_sheet import class_counts, dataset_sheet, shows_objects

from . import cli

_FILES = ", ".join(f"{kind}:/path" for kind in FILE_KINDS)
_NAMES = f"{', '.join((*builders.NAMES, *official.DATASETS))}, another TFDS name, or files: {_FILES}"
_DATASET = flags.DEFINE_string("dataset", "", _NAMES)
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "the folder that datasets are prepared in")
_DOWNLOAD = flags.DEFINE_bool("download", False, "download what must be")
_SIZE = flags.DEFINE_integer(
    "image_size", 0, "decode images to squares of so many pixels; 0: as stored", lower_bound=0, upper_bound=16_384
)
_SHEET = flags.DEFINE_string("contact_sheet", None, "where to draw the examples; next to the dataset, if not given")
_AUGMENTED = flags.DEFINE_string("augmentation_sheet", None, "where to draw what augmentation does to some of them")
_MAX_CLASSES, _AUGMENTED_IMAGES = 40, 8


def main() -> None:
    logging.set_verbosity(logging.ERROR)
    for flag, sheet in (("contact_sheet", _SHEET.value), ("augmentation_sheet", _AUGMENTED.value)):
        if sheet:
            _kind(pathlib.Path(sheet), flag)
    name, data_dir, size = _DATASET.value, _DATA_DIR.value, _SIZE.value or None
    directory = pathlib.Path(data_dir)
    files = file_kind(name)
    if files is None:
        directory = prepare(name, data_dir, download=_DOWNLOAD.value)
        stored = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        print(f"{name}: {directory}, {stored / 2**20:.1f} MiB")
    splits, room = _opened(name, data_dir, size)
    for split, source in splits.items():
        shape = "×".join(map(str, source.info.image_shape or ("images of several sizes",)))
        print(f"  {split}: {len(source):,} examples, {shape}, {_classes(source)}")
    for group, most in room.items():
        print(f"  at most {most} {group} in an image: config.data.padded.{group}={most}")
    if files and files[0].by_class:
        _check(splits, name)
    first = next(iter(splits.values()))
    path = pathlib.Path(_SHEET.value) if _SHEET.value else directory / "contact_sheet.png"
    _save(dataset_sheet(first, classes=_MAX_CLASSES), path, "contact_sheet")
    if _AUGMENTED.value:
        _draw_augmented(first, pathlib.Path(_AUGMENTED.value))


def _opened(name: str, data_dir: str, size: int | None) -> tuple[dict[str, Source], dict[str, int]]:
    """The splits, with room for the objects of their fullest images."""
    splits = {split: load(name, split, data_dir, image_size=size) for split in split_names(name, data_dir)}
    boxed = [
        source
        for source in splits.values()
        if isinstance(source, TfdsSource | CocoSource) and "objects/bbox" in source.info.features
    ]
    if not boxed:
        return splits, {}
    room = {"objects": max(1, *(int(source.entries("objects").max(initial=0)) for source in boxed))}
    return {split: load(name, split, data_dir, image_size=size, padded=room) for split in splits}, room


def _check(splits: dict[str, Source], name: str) -> None:
    from effjax.recipes.build.data_checks import check_data
    from effjax.tasks import CLASSIFICATION

    train = next((split for split in splits if usual_name(split) == "train"), None)
    if train is None:
        return
    roles = {"train": splits[train], **{split: source for split, source in splits.items() if split != train}}
    try:
        check_data(roles, {"name": name, "train": train}, CLASSIFICATION)
    except UserError as error:
        print(f"  {printable(str(error))}")


def _draw_augmented(source: Source, path: pathlib.Path) -> None:
    from effjax.reports.augmentation_sheet import augmentation_sheet  # starts JAX

    rows = np.linspace(0, len(source) - 1, _AUGMENTED_IMAGES).astype(int)
    images = [source[int(row)]["image"] for row in rows]
    if len({image.shape for image in images}) > 1:
        raise UserError(f"--augmentation_sheet: the images of {source.info.name!r} differ in size: give --image_size")
    _save(augmentation_sheet(np.stack(images)), path, "augmentation_sheet")


def _classes(source: Source) -> str:
    counts, kind = class_counts(source), "class" if source.info.num_classes == 1 else "classes"
    kind += " of objects" if shows_objects(source) else ""
    named = [f"{name} {count:,}" for name, count in zip(source.info.class_names, counts, strict=True)]
    more = f", … and {len(named) - _MAX_CLASSES} more" if len(named) > _MAX_CLASSES else ""
    return printable(f"{len(named)} {kind}: {', '.join(named[:_MAX_CLASSES])}{more}")


def _kind(path: pathlib.Path, flag: str) -> str:
    """What Pillow calls the kind of a picture that is to be written."""
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise UserError(f"--{flag}={path}: a name that ends as a picture's does is needed, e.g. {path.stem}.png")
    return kind


def _save(sheet: Image.Image, path: pathlib.Path, flag: str) -> None:
    kind = _kind(path, flag)
    files.write_whole(path, lambda file: sheet.save(file, kind))
    print(f"  {path}")


if __name__ == "__main__":
    cli.run(main, required=("dataset",))
