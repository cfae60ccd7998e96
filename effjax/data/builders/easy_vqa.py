"""Simple questions about one coloured shape, of the package ``easy-vqa``: all of them can be learnt."""

import importlib.resources
import json
from collections.abc import Iterator
from importlib.resources.abc import Traversable

import tensorflow_datasets as tfds

from effjax.data.answer_text import PADDING, UNKNOWN, most_frequent, tokens, words_of

LENGTH = 12  # words that a question has room for
_HELD_OUT = 10  # one in so many training images validates, with all its questions

Asked = tuple[str, str, int]  # question, answer, image


def package_data() -> Traversable:
    """The data folder of the installed package."""
    return importlib.resources.files("easy_vqa") / "data"


def read_questions() -> dict[str, list[Asked]]:
    """The questions by split, in the package's order; validation is a part of the package's training images."""
    found = {
        split: [(question, answer, image) for question, answer, image in json.loads(_text(f"{split}/questions.json"))]
        for split in ("train", "test")
    }
    return {
        "train": [one for one in found["train"] if one[2] % _HELD_OUT],
        "validation": [one for one in found["train"] if not one[2] % _HELD_OUT],
        "test": found["test"],
    }


class EasyVqa(tfds.core.GeneratorBasedBuilder):
    """64×64×3 images of one shape, with questions about its form and colour."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        words = _words(read_questions()["train"])
        return tfds.core.DatasetInfo(
            builder=self,
            description="48,248 questions about 5,000 generated images, of the package easy-vqa.",
            homepage="https://github.com/vzhou842/easy-VQA",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(64, 64, 3), encoding_format="png"),
                    "question": tfds.features.Sequence(tfds.features.ClassLabel(names=words), length=LENGTH),
                    "label": tfds.features.ClassLabel(names=_text("answers.txt").split()),
                }
            ),
            disable_shuffling=True,  # a record's position is its global id
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        questions = read_questions()
        numbers = {word: number for number, word in enumerate(_words(questions["train"]))}
        return {split: _examples(split, asked, numbers) for split, asked in questions.items()}

    def _generate_examples(self) -> Iterator:
        raise NotImplementedError  # _split_generators returns the generators themselves


def _text(file: str) -> str:
    return (package_data() / file).read_text("utf-8")


def _words(train: list[Asked]) -> list[str]:
    return [PADDING, UNKNOWN, *most_frequent((word for question, _, _ in train for word in words_of(question)), 10_000)]


def _examples(split: str, asked: list[Asked], numbers: dict[str, int]) -> Iterator:
    folder = "test" if split == "test" else "train"
    for position, (question, answer, image) in enumerate(asked):
        yield (
            position,
            {
                "image": (package_data() / folder / "images" / f"{image}.png").read_bytes(),
                "question": tokens(words_of(question), numbers, LENGTH),
                "label": answer,
            },
        )
