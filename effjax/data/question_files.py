"""Questions about images as VQA-2 and GQA publish them: their own JSON files, read as they are."""

import pathlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from effjax.data.answer_text import normalised
from effjax.errors import UserError, check_known
from effjax.files import damaged, read_json


class Asked(NamedTuple):
    """A question.

    Attributes:
      question: as it is written.
      image: its file, without the extension, relative to the folder of the dataset.
      answer: the one that is held to be right, normalised.
      given: what people answered, normalised; empty where one answer is all that is known.
      type: what kind of answer or question it is, as the dataset says it.
    """

    question: str
    image: str
    answer: str
    given: tuple[str, ...]
    type: str


class Layout(NamedTuple):
    """How a dataset lies in its folder.

    Attributes:
      read: the questions of a split, in the order of their official ids.
      splits: by our names, theirs.
      features: from an image's file to that of its stored features, without the extension.
    """

    read: Callable[[pathlib.Path, str], list[Asked]]
    splits: Mapping[str, str]
    features: Callable[[str], str]


def _vqa2(root: pathlib.Path, split: str) -> list[Asked]:
    """Of ``v2_OpenEnded_mscoco_train2014_questions.json`` and ``v2_mscoco_train2014_annotations.json``."""
    questions_file = root / f"v2_OpenEnded_mscoco_{split}_questions.json"
    answers_file = root / f"v2_mscoco_{split}_annotations.json"
    asked = _loaded(questions_file, lambda data: {one["question_id"]: one for one in data["questions"]})
    answered = _loaded(answers_file, lambda data: {one["question_id"]: one for one in data["annotations"]})
    if missing := sorted(asked.keys() ^ answered.keys()):
        raise UserError(
            f"{questions_file.name} and {answers_file.name} in {root} are not of the same questions: {len(missing):,} "
            f"are in one of them only, the first is {missing[0]}"
        )

    def one(id_: int) -> Asked:
        answer = answered[id_]
        given = tuple(normalised(person["answer"]) for person in answer["answers"])
        said = normalised(answer["multiple_choice_answer"])
        image = f"{split}/COCO_{split}_{asked[id_]['image_id']:012d}"
        return Asked(asked[id_]["question"], image, said, given, answer["answer_type"])

    return _checked(answers_file, one, sorted(asked))


def _gqa(root: pathlib.Path, split: str) -> list[Asked]:
    """Of ``train_balanced_questions.json``."""
    file = root / f"{split}_questions.json"
    asked = _loaded(file, dict)

    def one(id_: str) -> Asked:
        said = asked[id_]
        answer, image = normalised(said["answer"]), f"images/{said['imageId']}"
        return Asked(said["question"], image, answer, (), said["types"]["structural"])

    return _checked(file, one, sorted(asked))


LAYOUTS: Mapping[str, Layout] = {
    "vqa2": Layout(
        _vqa2,
        {"train": "train2014", "validation": "val2014"},
        lambda image: f"features/{image}",
    ),
    "gqa": Layout(
        _gqa,
        {"train": "train_balanced", "validation": "val_balanced", "test": "testdev_balanced"},
        lambda image: f"features/{image.removeprefix('images/')}",
    ),
}


def read_questions(kind: str, root: pathlib.Path, split: str) -> list[Asked]:
    """Reads the questions of a split.

    Args:
      kind: one of ``LAYOUTS``.
      root: the folder with the official files, unpacked.
      split: by our names.

    Returns:
      In the order of the official ids.

    Raises:
      UserError: for an unknown split, or a file that is missing, damaged, or not in the official form.
    """
    splits = LAYOUTS[kind].splits
    check_known(split, splits, f"dataset {kind}:{root} has no split {split!r}")
    found = LAYOUTS[kind].read(root, splits[split])
    if not found:
        raise UserError(f"{kind}:{root}: the split {split} has no question")
    return found


def most_given(questions: list[Asked]) -> int:
    """How many people answered each question at most; 0 where one answer is all that is known."""
    return max(Counter(len(one.given) for one in questions))


def _loaded(file: pathlib.Path, shape: Callable[[Any], dict]) -> dict:
    if not file.exists():
        raise UserError(f"{file} is not there: it is one of the official files; unpack it there")
    data = read_json(file, _OTHERWISE)
    try:
        return shape(data)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file, f"not in the official form ({error!r})", _OTHERWISE) from error


def _checked(file: pathlib.Path, one: Callable[[Any], Asked], ids: list) -> list[Asked]:
    def each() -> Iterator[Asked]:
        for id_ in ids:
            try:
                yield one(id_)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                said = f"question {id_} is not in the official form ({error!r})"
                raise damaged(file, said, _OTHERWISE) from error

    return list(each())


_OTHERWISE = "unpack the official file again"
