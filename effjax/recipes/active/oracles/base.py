"""What an oracle is, and how its answers are checked."""

import dataclasses
import getpass
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from effjax.data.ledger import Answer
from effjax.errors import UserError

_LISTED = 30  # problems in one message; more are counted


class Proposed(NamedTuple):
    """What a network says of an image, for people to correct.

    Attributes:
      answer: as people would say it.
      scores: how sure it is of each of the answer's items.
      model: which network, in words.
    """

    answer: Any
    scores: Sequence[float]
    model: str


@dataclasses.dataclass(frozen=True)
class Query:
    """An image that a label is wanted for.

    Attributes:
      id: its global id.
      score: why it was chosen; None where there was no score.
      picture: makes what people look at, uint8 ``[H, W, 1 or 3]``.
      path: of the photo; empty where it is none of a folder.
      question: what is asked of it; empty where nothing is but what it shows.
      proposed: what a network says of it, where one has looked.
    """

    id: int
    score: float | None
    picture: Callable[[], np.ndarray]
    path: str = ""
    question: str = ""
    proposed: Proposed | None = None


class Oracle(Protocol):
    """Answers queries, now or later.

    Attributes:
      who: the ledger's name for it.
      may_correct: whether it may say something else later than it did.
      is_simulated: whether it answers at once, from what it is asked, in every process alike.
    """

    who: str
    may_correct: bool
    is_simulated: bool

    def wants_proposals(self, round_: int) -> bool:
        """Whether what :meth:`ask` writes would show what a network says of the images."""
        ...

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
        ...

    def how_to_go_on(self, round_: int) -> str:
        """What a person has to do now."""
        ...


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
