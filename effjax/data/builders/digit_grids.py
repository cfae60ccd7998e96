"""Questions about grids of digits, a known share of which nothing in the image answers.

A canvas has room for 3×3 digits; grids have two or three rows and columns and lie in its upper left. An example is
a function of (seed, split, index) and of the share that cannot be learnt. Of two shares the smaller one's unlearnable
questions are among the larger one's, and all other examples are the same.

References:
  Karamcheti et al., `Mind Your Outliers! <https://arxiv.org/abs/2107.02331>`_, 2021: the kinds of questions that
  nobody can learn to answer.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from effjax.data import draws

CELL, SIDE = 14, 3  # pixels of a digit, and digits that a canvas has room for in each direction
LENGTH = 12  # words that a question has room for
SPLITS = ("train", "validation", "test")
TYPES = ("digit", "exists", "count", "sum", "compare", "position", "story", "chain")
KINDS = ("learnable", "external", "underspecified", "unreadable", "multi_hop")

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")
_SUMS = tuple(str(total) for total in range(0, 85, 5))
_SPOTS = tuple(f"{row} {column}" for row in _ROWS for column in _COLUMNS)
_STORIES = {
    "who wrote": ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jill", "Kim", "Leo"),
    "when did somebody write": tuple(str(year) for year in range(1986, 1994)),
    "in which country is": ("Peru", "Chad", "Fiji", "Iran", "Laos", "Mali", "Oman", "Togo", "Cuba", "Nepal"),
}
#: What an annotator says of a question that has no answer; no example has it for its label.
UNANSWERABLE = "cannot be answered"
ANSWERS = (
    *(str(digit) for digit in range(10)),
    *("yes", "no", *_SPOTS),
    *(answer for answers in _STORIES.values() for answer in answers),
    UNANSWERABLE,
)
#: Number 0 fills up a question.
WORDS = tuple(
    dict.fromkeys(
        [
            "<pad>",
            *["which", "digit", "is", "there", "a", "how", "many", "the", "sum", "larger", "than", "where"],
            *" ".join(_STORIES).split(),
            *["smaller", "it", "that", "one", "meant", "other", "did", "writer", "of", "next", "older"],
            *(*_NUMBERS, *_ROWS, *_COLUMNS, *_SUMS),
        ]
    )
)

_DRAWS = 64  # of an example: 16 of the question, then one a cell, the rest of what fills unreadable cells
_FREQUENCIES = (0.36, 0.2, 0.14, 0.1, 0.1, 0.1)  # of the learnable types, in order
_NOISE = (0.2, 0.9)  # of the grey of unreadable cells
_NUMBER_OF = {word: number for number, word in enumerate(WORDS)}
_ANSWER_OF = {answer: number for number, answer in enumerate(ANSWERS)}


@dataclasses.dataclass(frozen=True)
class Question:
    """A canvas and what is asked of it.

    Attributes:
      image: ``[42, 42]`` uint8.
      words: of the question, in order.
      answer: the one that is held to be right.
      type: one of ``TYPES``: what kind of thing is asked for.
      kind: one of ``KINDS``: whether the image tells, and if not, why.
      rows: positions in the digits that were given, of the cells of the grid.
    """

    image: np.ndarray
    words: tuple[str, ...]
    answer: str
    type: str
    kind: str
    rows: tuple[int, ...]

    @property
    def tokens(self) -> list[int]:
        """The words by number, ``[LENGTH]``, filled up with 0."""
        return [_NUMBER_OF[word] for word in self.words] + [0] * (LENGTH - len(self.words))

    @property
    def label(self) -> int:
        """The answer by number."""
        return _ANSWER_OF[self.answer]


def draw(unlearnable: float, seed: int, split: str, index: int, images: np.ndarray, labels: np.ndarray) -> Question:
    """Draws example ``index`` of a split.

    Args:
      unlearnable: the share of questions that nothing in the image answers.
      seed: of the whole dataset.
      split: one of ``SPLITS``.
      index: the example's place in the split, in [0, 2^32).
      images: digits to draw from, uint8 ``[N, 14, 14]``; those of a split are its own.
      labels: which digits they are, ``[N]``.

    Returns:
      The example.
    """
    u = draws.uniforms((seed, SPLITS.index(split) * 2**32 + index), _DRAWS)
    height, width = 2 + int(2 * u[0]), 2 + int(2 * u[1])
    rows = [int(len(labels) * u[16 + cell]) for cell in range(height * width)]
    grid = _Grid(np.asarray(labels)[rows], width)
    canvas = np.zeros((SIDE * CELL, SIDE * CELL), np.uint8)
    for cell, row in enumerate(rows):
        y, x = (CELL * part for part in divmod(cell, width))
        canvas[y : y + CELL, x : x + CELL] = images[row]
    kind = KINDS[1 + int(4 * u[3])] if u[2] < unlearnable else KINDS[0]
    if kind == "learnable":
        type_, words, answer = _learnable(grid, u[4:16])
    else:
        type_, words, answer = _UNLEARNABLE[kind](grid, u[4:16])
    if kind == "unreadable":
        y, x = (CELL * part for part in divmod(_cell(grid, u[4]), width))
        noise = draws.uniforms((seed, (SPLITS.index(split) + len(SPLITS)) * 2**32 + index), CELL * CELL)
        grey = 255 * (_NOISE[0] + (_NOISE[1] - _NOISE[0]) * noise)
        canvas[y : y + CELL, x : x + CELL] = grey.reshape(CELL, CELL)
    return Question(canvas, tuple(words.split()), answer, type_, kind, tuple(rows))


@dataclasses.dataclass(frozen=True)
class _Grid:
    """Digits by cell, row by row."""

    digits: np.ndarray
    width: int

    def spot(self, cell: int) -> str:
        return f"{_ROWS[cell // self.width]} {_COLUMNS[cell % self.width]}"


_Asked = tuple[str, str, str]  # type, question, answer


def _cell(grid: _Grid, u: float) -> int:
    return int(len(grid.digits) * u)


def _of(values: Sequence[str], u: float) -> str:
    return values[int(len(values) * u)]


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "no"


def _learnable(grid: _Grid, u: np.ndarray) -> _Asked:
    """The drawn type of question, or the next that the grid allows: any allows to ask for a digit."""
    askable = list(_questions(grid, u))
    first = int(np.searchsorted(np.cumsum(_FREQUENCIES), u[11], "right"))
    return next(asked for asked in (askable * 2)[first:] if asked is not None)


def _questions(grid: _Grid, u: np.ndarray) -> Iterator[_Asked | None]:
    """One of each type, None where the grid has no such."""
    digits, cell, other = grid.digits, _cell(grid, u[0]), _cell(grid, u[1])
    # Now and then one that is there for sure, so that about half of the answers are yes.
    digit = int(digits[other]) if u[2] < 0.2 else int(10 * u[3])
    often = int(digits[other]) if u[2] < 0.7 else int(10 * u[3])
    yield "digit", f"which digit is {grid.spot(cell)}", str(digits[cell])
    yield "exists", f"is there a {_NUMBERS[digit]}", _yes(digit in digits)
    yield "count", f"how many {_NUMBERS[often]}", str((digits == often).sum())
    total = int(digits.sum())
    limit = min(max(5 * round((total + 30 * (u[4] - 0.5)) / 5), 0), int(_SUMS[-1]))
    yield "sum", f"is the sum larger than {limit}", _yes(total > limit)
    words = f"is {grid.spot(cell)} larger than {grid.spot(other)}"
    yield ("compare", words, _yes(digits[cell] > digits[other])) if digits[cell] != digits[other] else None
    single = [k for k, count in enumerate(np.bincount(digits, minlength=10)) if count == 1]
    if not single:
        yield None
        return
    digit = single[int(len(single) * u[5])]
    yield "position", f"where is the {_NUMBERS[digit]}", grid.spot(int(np.flatnonzero(digits == digit)[0]))


def _external(grid: _Grid, u: np.ndarray) -> _Asked:
    """Only somebody who was there knows; some answers are far more frequent than others."""
    question = _of(tuple(_STORIES), u[1])
    answers = _STORIES[question]
    return "story", f"{question} {grid.spot(_cell(grid, u[0]))}", answers[int(len(answers) * u[2] ** 2)]


def _underspecified(grid: _Grid, u: np.ndarray) -> _Asked:
    """The annotator meant one of the digits, and does not say which."""
    digit, other = int(grid.digits[_cell(grid, u[0])]), int(grid.digits[_cell(grid, u[1])])
    if u[2] < 0.5:
        return "digit", _of(("which digit is it", "which digit is meant", "which digit is that one"), u[3]), str(digit)
    return "compare", _of(("is it larger than the other", "is it smaller than that one"), u[3]), _yes(digit > other)


def _unreadable(grid: _Grid, u: np.ndarray) -> _Asked:
    """The digit that is asked for is covered by noise, which :func:`draw` adds."""
    cell = _cell(grid, u[0])
    return "digit", f"which digit is {grid.spot(cell)}", str(grid.digits[cell])


def _multi_hop(grid: _Grid, u: np.ndarray) -> _Asked:
    """The way to the answer leaves the image."""
    first, second = (grid.spot(_cell(grid, draw)) for draw in u[:2])
    if u[2] < 0.5:
        return "chain", f"which digit did the writer of {first} write next", str(int(10 * u[3]))
    return "chain", f"is the writer of {first} older than {second}", _yes(u[3] < 0.5)


_UNLEARNABLE = {
    "external": _external,
    "underspecified": _underspecified,
    "unreadable": _unreadable,
    "multi_hop": _multi_hop,
}
