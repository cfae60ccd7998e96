"""A labelling loop of seconds over photos of digits, answered with boxes."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from small_pools import fill

from effjax.data.ledger import Ledger
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active.loop import Waiting

CLASSES = ("light", "red")


def draw_photo(seed, size=(48, 32)):
    """A dark photo with one to two bright blocks, and their boxes in pixels: x, y, width, height, class."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 40, (size[1], size[0], 3), dtype=np.uint8)
    boxes = []
    for _ in range(seed % 3):
        x, y, kind = int(draw.integers(8, 28)), int(draw.integers(0, 20)), int(draw.integers(2))
        pixels[y : y + 10, x : x + 12] = ((230, 230, 230), (230, 20, 20))[kind]
        boxes.append(([x, y, 12, 10], kind))
    return pixels, boxes


def make_photos(home: pathlib.Path, count=8):
    for split, start in (("valid", 100), ("test", 200)):
        folder = home / "photos" / split
        folder.mkdir(parents=True)
        images, annotations = [], []
        for number in range(4):
            pixels, boxes = draw_photo(start + number)
            Image.fromarray(pixels).save(folder / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": 48, "height": 32})
            for box, kind in boxes:
                annotations.append({"id": len(annotations), "image_id": number, "category_id": kind + 1, "bbox": box})
        categories = [{"id": 1, "name": "light"}, {"id": 2, "name": "red"}]
        (folder / "annotations.json").write_text(
            json.dumps({"images": images, "annotations": annotations, "categories": categories})
        )
    (home / "pool").mkdir()
    for number in range(count):
        Image.fromarray(draw_photo(number)[0]).save(home / "pool" / f"{number}.png")


def config_of(home, **settings):
    config = schema.experiment()
    config.recipe, config.task = "active", "detection"
    config.data.update(name=f"coco:{home / 'photos'}", pool=str(home / "pool"), image_size=16, dir=str(home / "data"))
    config.data.padded = {"objects": 4}
    config.active.update(oracle="folder", initial=4, per_round=3, rounds=2, **settings)
    config.eval_batch_size = 4
    run = schema.run(batch_size=4, steps=2, evaluations=1)
    run.model = {"name": "fcos", "backbone": "resnet8", "stem": "halving", "strides": (4,), "channels": 8, "convs": 1}
    run.terms = {"quality_focal": {}, "box_giou": {}}
    run.plans.terms = ((0.0, ("quality_focal", "box_giou")),)
    run.query = schema.query()
    config.runs.mine = run
    return config


def asked(home, config):
    """Runs until people are asked; the folder of the round."""
    with pytest.raises(Waiting):
        active.main(config.to_dict(), home / "work")
    return max((home / "work" / "mine" / "seed_0" / "queries").glob("round_*"))


def draw_all(folder: pathlib.Path, ledger: Ledger, marks: str = "done"):
    """What a person does with a round's folder: every box around its block, and a word where there is none to draw."""
    path = folder / "annotations.json"
    page = json.loads(path.read_text())
    page["annotations"] = []
    for image in page["images"]:
        seed = int(pathlib.Path(ledger.files()[image["id"]].path).stem)
        scale = image["width"] / 48
        for box, kind in draw_photo(seed)[1]:
            one = {"id": len(page["annotations"]) + 1, "image_id": image["id"], "category_id": kind + 1}
            page["annotations"].append({**one, "bbox": [side * scale for side in box]})
    path.write_text(json.dumps(page))
    fill(folder / "labels.csv", lambda row: marks)
