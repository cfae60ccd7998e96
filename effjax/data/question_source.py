"""A split of VQA-2 or GQA: images, or features of them that somebody has stored, with questions and answers."""

import functools
import pathlib
from collections.abc import Iterator

import numpy as np

from effjax.data.answer_text import PADDING, UNKNOWN, most_frequent, tokens, words_of
from effjax.data.base import DatasetInfo, Example, Source, cannot_cut, no_column, resized
from effjax.data.decode import decode_image
from effjax.data.image_files import why_unreadable
from effjax.data.photo_crops import PhotoCrops
from effjax.data.question_files import LAYOUTS, Asked, most_given, read_questions
from effjax.errors import UserError
from effjax.files import home_expanded
from effjax.specs import Spec

LENGTH = 24  # words that a question has room for; the rest of a longer one is not read
MOST_ANSWERS, MOST_WORDS = 3000, 15_000
OTHER = "(another answer)"
_NOTHING = (8, 8, 3)  # the image where there are stored features alone


class QuestionSource:
    """One whole split. Global ids number the questions in the order of their official ids.

    ``label`` is one of the 3,000 most frequent answers of the training split, or another; ``answers`` are what people
    said, -1 for what is none of them; ``grid`` are features ``[h, w, C]``, where the folder has ``features/``.
    """

    def __init__(self, kind: str, root: str | pathlib.Path, split: str, image_size: int | None = None):
        """Reads the questions; no image.

        Args:
          kind: ``"vqa2"`` or ``"gqa"``.
          root: the folder with the official files, unpacked; of stored features, ``features/<image's file>.npy``.
          split: ``"train"``, ``"validation"``, of GQA ``"test"``.
          image_size: as in ``load``.

        Raises:
          UserError: for an unknown split, or a file that is missing or damaged.
        """
        self._kind, self.root, self._image_size = kind, home_expanded(root), image_size
        self.questions = list(_questions(kind, self.root, split))
        words, answers = _known(kind, self.root)
        self._words = {word: number for number, word in enumerate(words)}
        self._answers = {answer: number for number, answer in enumerate(answers)}
        types = tuple(sorted({one.type for one in _questions(kind, self.root, "train")}))
        self._types = {name: number for number, name in enumerate((*types, OTHER))}
        image: tuple[int | None, ...] = (None, None, 3) if (self.root / self.questions[0].image).parent.is_dir() else ()
        specs = {
            "image": Spec(np.uint8, image or _NOTHING),
            "question": Spec(np.int32, (LENGTH,)),
            "label": Spec(np.int32),
            "type": Spec(np.int32),
            "id": Spec(np.int32),
        }
        self._given = most_given(self.questions)
        if self._given > 1:
            specs["answers"] = Spec(np.int32, (self._given,))
        if (self.root / "features").is_dir():
            specs["grid"] = Spec(np.float32, self._grid(0).shape)
        elif not image:
            raise UserError(f"{kind}:{root}: neither {self.questions[0].image}.jpg nor the folder features/ is there")
        names = {"question": words, "type": tuple(self._types)}
        info = DatasetInfo(f"{kind}:{self.root}", split, len(self.questions), answers, specs, names)
        self.info = info.at_size(image_size) if image_size and image else info
        self._has_images = bool(image)

    def __len__(self) -> int:
        return len(self.questions)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        found = {name: self._value(name, row % len(self)) for name in self.info.features if name not in _FILES}
        found["image"] = self._pixels(row) if self._has_images else np.zeros(_NOTHING, np.uint8)
        if "grid" in self.info.features:
            found["grid"] = self._grid(row)
        return found

    def cut(self, row: int, crops: PhotoCrops) -> Example:
        raise cannot_cut(self, "asks where things are, which a part of the photo does not answer")

    def at_size(self, image_size: int) -> Source:
        return resized(self, image_size) if self._has_images else self

    def ids(self) -> np.ndarray:
        return np.arange(len(self))

    def column(self, name: str) -> np.ndarray:
        if name in _FILES or name not in self.info.features:
            raise no_column(self, name)
        return np.stack([self._value(name, row) for row in range(len(self))])

    def _value(self, name: str, row: int) -> np.ndarray:
        asked, other = self.questions[row], len(self._answers) - 1
        if name == "question":
            return np.array(tokens(words_of(asked.question), self._words, LENGTH), np.int32)
        if name == "answers":
            given = [self._answers.get(answer, -1) for answer in asked.given]
            return np.array(given + [-1] * (self._given - len(given)), np.int32)
        values = {"id": row, "label": self._answers.get(asked.answer, other)}
        values["type"] = self._types.get(asked.type, len(self._types) - 1)
        return np.asarray(values[name], np.int32)

    def _pixels(self, row: int) -> np.ndarray:
        path = f"{self.root / self.questions[row].image}.jpg"
        try:
            return decode_image(path, 3, self._image_size)
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            raise UserError(f"{path} cannot be read ({why_unreadable(path, error)}): unpack it again") from error

    def _grid(self, row: int) -> np.ndarray:
        path = self.root / f"{LAYOUTS[self._kind].features(self.questions[row].image)}.npy"
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error}): store the features of this image again") from error
        if found.ndim != 3:
            raise UserError(f"{path} has the shape {found.shape}; allowed: features [h, w, C]")
        return found.astype(np.float32)


_FILES = ("image", "grid")  # features that lie in files of their own


@functools.lru_cache(8)
def _questions(kind: str, root: pathlib.Path, split: str) -> tuple[Asked, ...]:
    """Read once: VQA-2's files have hundreds of megabytes."""
    return tuple(read_questions(kind, root, split))


@functools.lru_cache(4)
def _known(kind: str, root: pathlib.Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words, and the answers, that the training split has; whatever split is read, no other is looked at."""
    train = _questions(kind, root, "train")
    words = most_frequent((word for one in train for word in words_of(one.question)), MOST_WORDS - 2)
    return (PADDING, UNKNOWN, *words), (*most_frequent((one.answer for one in train), MOST_ANSWERS), OTHER)
