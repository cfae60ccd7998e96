"""The labels that a dataset has anyway: for simulations."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from effjax.data.base import Source
from effjax.data.ledger import LABELLED, Answer
from effjax.recipes.active.oracles.base import Query
from effjax.tasks import AnswerFormat
from effjax.tasks.box_answers import BoxAnswers

_SEEN = ("objects/label", "objects/valid")  # what answers are made of that nothing is learnt from


class DatasetOracle:
    """Answers at once, and rightly.

    Args:
      source: with the targets, read by global id.
      answers: what an answer is.
      label: the feature that stands in the place of ``label``; empty: that itself.
    """

    who, may_correct, is_simulated = "dataset", False, True

    def __init__(self, source: Source, answers: AnswerFormat, label: str = ""):
        self._ids, self._answers = source.ids(), answers
        self._order = np.argsort(self._ids, kind="stable")
        learnt = answers.specs or _SEEN
        self._targets = {name: source.column(label if label and name == "label" else name) for name in learnt}

    def wants_proposals(self, round_: int) -> bool:
        return False

    def ask(self, round_: int, queries: Sequence[Query]) -> None:
        """Nothing to hand over."""

    def answers(self, round_: int, asked: Sequence[int], waiting: Collection[int]) -> list[Answer]:
        """Returns the answers to what waits for them."""
        ids = [id_ for id_ in asked if id_ in waiting]
        rows = self._order[np.searchsorted(self._ids, ids, sorter=self._order)]
        targets = ({name: column[row] for name, column in self._targets.items()} for row in rows)
        return [Answer(id_, LABELLED, self._answers.write(one)) for id_, one in zip(ids, targets, strict=True)]

    def how_to_go_on(self, round_: int) -> str:
        return ""


class CorrectingOracle(DatasetOracle):
    """Corrects what the last network proposes, as :meth:`BoxAnswers.corrected` says.

    Args:
      source: with the targets, read by global id.
      answers: what an answer is.
    """

    def __init__(self, source: Source, answers: BoxAnswers):
        super().__init__(source, answers)
        self._boxes, self._proposed = answers, dict[int, Any]()

    def wants_proposals(self, round_: int) -> bool:
        return True

    def ask(self, round_: int, queries: Sequence[Query]) -> None:
        """Takes note of what is proposed."""
        self._proposed = {query.id: query.proposed.answer if query.proposed else [] for query in queries}

    def answers(self, round_: int, asked: Sequence[int], waiting: Collection[int]) -> list[Answer]:
        """Returns the answers to what waits for them, with what they cost."""
        found = []
        for answer in super().answers(round_, asked, waiting):
            mended, cost = self._boxes.corrected(answer.answer, self._proposed.get(answer.id, []))
            found.append(answer._replace(answer=mended, cost=cost))
        return found
