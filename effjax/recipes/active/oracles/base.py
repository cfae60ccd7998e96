"""What an oracle is, and how its answers are checked."""

import dataclasses
import getpass
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE, Answer
from effjax.errors import UserError, nearest

#: What may be written instead of a class.
NO_LABEL = {"skip": SKIPPED, "unlabelable": UNLABELABLE}
_LISTED = 30  # problems in one message; more are counted
_WHOLE = re.compile(r"\s*(\d+)(?:\.0+)?\s*", re.ASCII)  # a spreadsheet may make 3.0 of 3


@dataclasses.dataclass(frozen=True)
class Query:
    """An image that a label is wanted for.

    Attributes:
      id: its global id.
      score: why it was chosen; None where there was no score.
      picture: makes what people look at, uint8 ``[H, W, 1 or 3]``.
      path: of the photo; empty where it is none of a folder.
    """

    id: int
    score: float | None
    picture: Callable[[], np.ndarray]
    path: str = ""


class Oracle(Protocol):
    """Answers queries, now or later.

    Attributes:
      who: the ledger's name for it.
      may_correct: whether it may say something else later than it did.
    """

    who: str
    may_correct: bool

    def ask(self, round_: int, queries: Sequence[Query]) -> None:
        """Hands the queries of a round over. Called again after an interruption; what is there already stays."""

    def answers(self, round_: int, asked: Sequence[int], waiting: Collection[int]) -> list[Answer]:
        """Returns the answers that there are to what was asked in a round, which may be none yet.

        Args:
          round_: the round.
          asked: all ids that were asked in it.
          waiting: those that have no answer in the ledger yet; of the others, the answer may be another than it was.

        Raises:
          UserError: listing everything that is wrong with what was answered.
        """

    def how_to_go_on(self, round_: int) -> str:
        """What a person has to do now."""


def parse_label(text: str, class_names: Sequence[str]) -> tuple[str, int | None]:
    """An event and a label for what a person wrote.

    Letters may be composed or not. Where it is clear what is meant, capitals do not matter, and neither do zeros before
    a number, which spreadsheets take away.

    Raises:
      ValueError: saying what is allowed.
    """
    meanings = [*((name, (LABELLED, label)) for label, name in enumerate(class_names))]
    meanings += [(word, (event, None)) for word, event in NO_LABEL.items() if word not in class_names]
    for alike in (lambda x: x, _composed, lambda x: _composed(x).casefold(), _number):
        found = [(name, meaning) for name, meaning in meanings if alike(name) == alike(text) is not None]
        if len(found) == 1:
            return found[0][1]
        if found:
            raise ValueError(f"{text!r} may be any of {', '.join(name for name, _ in found)}: write it as it is there")
    raise ValueError(f"{text!r} is no class; {nearest(text, [*class_names, *NO_LABEL])}")


def whole_number(text: str) -> int | None:
    """The whole number that a cell of a table holds; None where it holds none."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


def raise_all(path: Path, problems: Iterable[str]) -> None:
    """Raises one error for all problems, if there are any.

    Raises:
      UserError: naming the file and each problem.
    """
    problems = list(problems)
    if problems:
        more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
        raise UserError(f"{path}: nothing was taken over; {'; '.join(problems[:_LISTED])}{more}")


def user_name() -> str:
    """Of whoever runs this; in a container there may be no name to a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _number(text: str) -> int | None:
    return whole_number(text)
