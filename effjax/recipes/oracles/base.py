"""What an oracle is, and how its answers are checked."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE
from effjax.errors import UserError, nearest

Answer = tuple[int, str, int | None]  # global id, event, label

#: What may be written instead of a class.
NO_LABEL = {"skip": SKIPPED, "unlabelable": UNLABELABLE}
_LISTED = 30  # problems in one message; more are counted


@dataclasses.dataclass(frozen=True)
class Query:
    """An image that a label is wanted for.

    Attributes:
      id: its global id.
      score: why it was chosen; None where there was no score.
      image: uint8 ``[H, W, C]``.
    """

    id: int
    score: float | None
    image: np.ndarray


class Oracle(Protocol):
    """Answers queries, now or later.

    Attributes:
      who: the ledger's name for it.
    """

    who: str

    def ask(self, round_: int, queries: Sequence[Query]) -> None:
        """Hands the queries of a round over. Called again after an interruption; what is there already stays."""

    def answers(self, round_: int, ids: Sequence[int]) -> list[Answer] | None:
        """Returns the answers to all of them, or None while people are still at it.

        Raises:
          UserError: listing everything that is wrong with what was answered.
        """

    def how_to_go_on(self, round_: int) -> str:
        """What a person has to do now."""


def parse_label(text: str, class_names: Sequence[str]) -> tuple[str, int | None]:
    """An event and a label for what a person wrote.

    Raises:
      ValueError: saying what is allowed.
    """
    if text in class_names:
        return LABELLED, class_names.index(text)
    if text in NO_LABEL:
        return NO_LABEL[text], None
    raise ValueError(f"{text!r} is no class; {nearest(text, [*class_names, *NO_LABEL])}")


def raise_all(path: Path, problems: Iterable[str]) -> None:
    """Raises one error for all problems, if there are any.

    Raises:
      UserError: naming the file and each problem.
    """
    problems = list(problems)
    if problems:
        more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
        raise UserError(f"{path}: nothing was taken over; {'; '.join(problems[:_LISTED])}{more}")
