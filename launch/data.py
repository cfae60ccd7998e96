"""Prepares a dataset and describes it.

    python -m launch.data --dataset=digits --data_dir=data

prints its splits, counts and classes, and draws contact_sheet.png next to it. What is prepared stays as it is.
"""

import pathlib
import sys

import numpy as np
from absl import app, flags, logging

from effjax.data import builders
from effjax.data.base import Source
from effjax.data.prepare import prepare
from effjax.data.sources import load, split_names
from effjax.errors import UserError
from effjax.reports.contact_sheet import contact_sheet

_NAMES = f"{', '.join(builders.NAMES)}, a TFDS name or folder:/path"
_DATASET = flags.DEFINE_string("dataset", None, _NAMES, required=True)
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "the folder that datasets are prepared in")
_DOWNLOAD = flags.DEFINE_bool("download", False, "let TFDS download what it must")
_SHEET = flags.DEFINE_string("contact_sheet", None, "where to draw the examples; next to the dataset, if not given")
_AUGMENTED = flags.DEFINE_string("augmentation_sheet", None, "where to draw what augmentation does to some of them")
_PER_CLASS, _MAX_CLASSES, _AUGMENTED_IMAGES = 12, 40, 8


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}: write --dataset=… --data_dir=…")
    logging.set_verbosity(logging.ERROR)
    try:
        describe(_DATASET.value, _DATA_DIR.value, _SHEET.value, download=_DOWNLOAD.value)
        if _AUGMENTED.value:
            _draw_augmented(_DATASET.value, _DATA_DIR.value, pathlib.Path(_AUGMENTED.value))
    except UserError as error:
        sys.exit(f"error: {error}")


def describe(name: str, data_dir: str, sheet: str | None, *, download: bool) -> None:
    directory = pathlib.Path(data_dir)
    if not name.startswith("folder:"):
        directory = prepare(name, data_dir, download=download)
        size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
        print(f"{name}: {directory}, {size / 2**20:.1f} MiB")
    splits = split_names(name, data_dir)
    for split in splits:
        source = load(name, split, data_dir)
        shape = "×".join(map(str, source.info.image_shape or ("images of several sizes",)))
        print(f"  {split}: {len(source):,} examples, {shape}, {_classes(source)}")
    path = pathlib.Path(sheet) if sheet else directory / "contact_sheet.png"
    _draw(load(name, splits[0], data_dir), path)
    print(f"  {path}")


def _draw_augmented(name: str, data_dir: str, path: pathlib.Path) -> None:
    from effjax.reports.augmentation_sheet import augmentation_sheet  # starts JAX

    source = load(name, split_names(name, data_dir)[0], data_dir)
    rows = np.linspace(0, len(source) - 1, _AUGMENTED_IMAGES).astype(int)
    images = [source[int(row)]["image"] for row in rows]
    if len({image.shape for image in images}) > 1:
        raise UserError(f"--augmentation_sheet: the images of {name!r} differ in size")
    path.parent.mkdir(parents=True, exist_ok=True)
    augmentation_sheet(np.stack(images)).save(path)
    print(f"  {path}")


def _classes(source: Source) -> str:
    counts = np.bincount(source.labels(), minlength=source.info.num_classes)
    named = [f"{name} {count:,}" for name, count in zip(source.info.class_names, counts, strict=True)]
    more = f", … and {len(named) - _MAX_CLASSES} more" if len(named) > _MAX_CLASSES else ""
    return f"{len(named)} classes: {', '.join(named[:_MAX_CLASSES])}{more}"


def _draw(source: Source, path: pathlib.Path) -> None:
    labels = source.labels()
    rows = {
        name: [source[int(row)]["image"] for row in np.flatnonzero(labels == label)[:_PER_CLASS]]
        for label, name in enumerate(source.info.class_names[:_MAX_CLASSES])
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        contact_sheet(rows).save(path)
    except (OSError, ValueError) as error:  # Pillow's for a name that ends in no picture format
        raise UserError(f"contact_sheet {path} cannot be written ({error}): give another --contact_sheet") from None


if __name__ == "__main__":
    app.run(main)
