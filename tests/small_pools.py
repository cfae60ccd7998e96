"""A labelling loop of seconds, over photos in a folder: cats are dark, dogs are light."""

import csv
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from effjax.data.ledger import Ledger
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active.folder import LEDGER_FILE
from effjax.recipes.active.loop import Waiting

CLASSES = ("cat", "dog")


def paint(path, seed, size=(24, 20)):
    """A photo that no other is like; its name says what it shows."""
    number = CLASSES.index(next(name for name in CLASSES if name in path.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).normal(60 + 90 * number, 30, (size[1], size[0], 3)).clip(0, 255)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def make_photos(home: pathlib.Path, count=8):
    """``photos/`` with labels, ``pool/`` without: ``count`` of each class in three folders."""
    for name in CLASSES:
        for split in ("validation", "test"):
            for i in range(2):
                paint(home / "photos" / split / name / f"{name}{i}.png", 1000 + i)
        for i in range(count):
            paint(home / "pool" / f"day{i % 3}" / f"{name}_{i}.png", i)


def pool_config(home: pathlib.Path, **settings):
    config = schema.experiment()
    config.recipe = "active"
    config.data.update(name=f"folder:{home / 'photos'}", pool=str(home / "pool"), image_size=8, dir=str(home / "data"))
    config.active.update(oracle="folder", initial=4, per_round=3, rounds=3, **settings)
    config.eval_batch_size = 4
    run = schema.run(model={"name": "mlp", "widths": (4,)}, steps=2, batch_size=4, evaluations=1)
    run.query = schema.query()
    config.runs.mine = run
    return config


def loop_folder(home) -> pathlib.Path:
    return home / "work" / "mine" / "seed_0"


def ledger_of(home) -> Ledger:
    return Ledger(loop_folder(home) / LEDGER_FILE)


def asks(config, home) -> list[str]:
    """Runs until people are asked; returns the paths of what is asked."""
    with pytest.raises(Waiting):
        active.main(config.to_dict(), home / "work")
    ledger = ledger_of(home)
    return [ledger.files()[id_].path for id_ in ledger.open()]


def table_of(home, round_):
    return loop_folder(home) / "queries" / f"round_{round_:02d}" / "labels.csv"


def fill(path, label):
    """Writes what ``label(row)`` says into a table."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = label(row)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def class_of(row) -> str:
    """What a photo shows, by its path."""
    return next(name for name in CLASSES if name in row["path"].rsplit("/", 1)[-1])


def all_right(home) -> bool:
    """Whether every label is that of its path."""
    ledger = ledger_of(home)
    files = ledger.files()
    return all(CLASSES[label] in files[id_].path for id_, label in ledger.labels().items())


def as_it_was_before(home):
    """Makes of a loop one of the time when ledgers noted no files: no names, no checksums, no numbers of files."""
    from effjax.data.decode import decode_image

    folder = loop_folder(home)
    lines = [json.loads(line) for line in (folder / LEDGER_FILE).read_text().splitlines()]
    new = ("format", "line", "check", "path", "bytes", "digest")
    old = [{key: value for key, value in line.items() if key not in new} for line in lines]
    (folder / LEDGER_FILE).write_text("".join(json.dumps(line) + "\n" for line in old))
    for line in lines[1:]:
        if "path" in line:
            images = folder / "queries" / f"round_{line['round']:02d}" / "images"
            pixels = decode_image(home / "pool" / line["path"], 3, 8)
            Image.fromarray(pixels).save(images / f"{line['id']}.png")
    for part in (home / "work" / "pool_files").iterdir():
        part.unlink()
