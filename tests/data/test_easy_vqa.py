"""The package easy-vqa, laid out here as it ships: a few questions about twelve images."""

import json

import numpy as np
import pytest
from PIL import Image

from effjax.data.builders import easy_vqa
from effjax.data.prepare import prepare
from effjax.data.sources import load
from effjax.errors import UserError


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "package"
    for split, count in (("train", 12), ("test", 2)):
        (root / split / "images").mkdir(parents=True)
        questions = []
        for image in range(count):
            Image.new("RGBA", (64, 64), (20 * image, 0, 9, 255)).convert("RGB").save(
                root / split / "images" / f"{image}.png"
            )
            questions.append(["what color is the shape?", ("red", "blue")[image % 2], image])
            questions.append([f"is there a {'circle' if split == 'train' else 'hexagon'}?", "yes", image])
        (root / split / "questions.json").write_text(json.dumps(questions))
    (root / "answers.txt").write_text("red\nblue\nyes\n")
    monkeypatch.setattr(easy_vqa, "package_data", lambda: root)
    return root


def test_it_is_read_as_it_ships(package, tmp_path):
    prepare("easy_vqa", tmp_path / "data")
    splits = {split: load("easy_vqa", split, tmp_path / "data") for split in ("train", "validation", "test")}
    assert {split: len(source) for split, source in splits.items()} == {"train": 20, "validation": 4, "test": 4}
    shown = {split: {int(example["image"][0, 0, 0]) // 20 for example in splits[split]} for split in splits}
    assert shown["validation"] == {0, 10}  # no image is in train, too
    assert not shown["train"] & shown["validation"]
    words, source = splits["train"].info.names["question"], splits["test"]
    asked = [[words[token] for token in example["question"] if token] for example in source]
    assert asked[:2] == [["what", "color", "is", "the", "shape"], ["is", "there", "a", "<unknown>"]]
    assert [source.info.class_names[label] for label in source.column("label")] == ["red", "yes", "blue", "yes"]
    assert source[0]["question"].dtype == np.int32


def test_without_the_package_it_says_what_is_missing(tmp_path, monkeypatch):
    def missing():
        raise ModuleNotFoundError("No module named 'easy_vqa'", name="easy_vqa")

    monkeypatch.setattr(easy_vqa, "package_data", missing)
    with pytest.raises(UserError, match="needs the package easy_vqa"):
        prepare("easy_vqa", tmp_path)
