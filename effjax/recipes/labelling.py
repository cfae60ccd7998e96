"""One labelling loop: train on what is labelled, score the pool, choose, ask, again. The ledger is its only state."""

import dataclasses
import datetime
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effjax.data.base import Source, View, global_ids
from effjax.data.ledger import UNLABELABLE, Ledger
from effjax.recipes.acquisition import Acquisition
from effjax.recipes.oracles import Oracle, Query
from effjax.recipes.rounds import Rounds
from effjax.runtime import Interrupted
from effjax.runtime.hosts import barrier, is_primary

_log = logging.getLogger("effjax")

LEDGER_FILE = "ledger.jsonl"


class Waiting(Interrupted):
    """People have been asked and have not answered yet. The message says what to do."""


@dataclasses.dataclass
class Loop:
    """A labelling loop.

    Attributes:
      ledger: what has been asked and answered.
      rounds: what trains and measures.
      acquisition: what chooses.
      pool: where examples are read.
      active: how many, how often, see :func:`effjax.recipes.config.active`.
      oracle: who answers.
      measured: what each round so far has measured.
    """

    ledger: Ledger
    rounds: Rounds
    acquisition: Acquisition
    pool: Source
    active: Mapping[str, Any]
    oracle: Oracle
    measured: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def run(self) -> list[dict[str, Any]]:
        """Runs the rounds that are left; returns what each round measured on validation.

        Raises:
          Waiting: where people have to answer first.
          UserError: if their answers cannot be used.
        """
        while True:
            self._train()
            if why := self._why_over():
                _log.info("%s: over after %d rounds: %s", self._who(), len(self.measured), why)
                return self.measured
            if not self._ask():
                _log.info("%s: over after %d rounds: the stream has ended", self._who(), len(self.measured))
                return self.measured

    def test(self) -> list[dict[str, Any]]:
        """What each round measured, on the test split too; for the end, when all loops are over."""
        return [self.rounds.test(measured) for measured in self.measured]

    def _train(self) -> None:
        """Trains on all that has been answered, after the answers to what is still open have come in."""
        for round_ in range(len(self.measured), self.ledger.round + 1):
            if round_ == self.ledger.round:
                self._collect()
            measured = self.rounds.train(round_)
            self.measured.append({**measured, "cost": measured["labels"] * self.active["cost_per_label"]})

    def _collect(self) -> None:
        """Takes the answers to what is open over into the ledger."""
        if not (ids := self.ledger.open()):
            return
        pool, round_ = View(self.pool, np.asarray(ids)), self.ledger.round
        scores = {entry.id: entry.score for entry in self.ledger.entries}
        if is_primary():
            self.oracle.ask(round_, [Query(id_, scores[id_], pool[row]["image"]) for row, id_ in enumerate(ids)])
        barrier(f"{self._who()} round {round_} asked")
        answers = self.oracle.answers(round_, ids)
        if answers is None:
            raise Waiting(f"{self._who()}, round {round_}: {self.oracle.how_to_go_on(round_)}")
        self.ledger.answer(answers, self.oracle.who, _now())

    def _why_over(self) -> str:
        """Why no further round follows; empty where one does."""
        active, labels = self.active, len(self.ledger.labels())
        accuracies, patience = [round_["validation_accuracy"] for round_ in self.measured], active["patience"]
        if self.ledger.round + 1 >= active["rounds"]:
            return f"these were all of config.active.rounds={active['rounds']}"
        if len(self.ledger.taken()) >= len(self.pool):
            return "nothing is left to be asked"
        if active["budget"] and (labels + 1) * active["cost_per_label"] > active["budget"]:
            return f"config.active.budget={active['budget']} is spent"
        if active["target"] and accuracies and accuracies[-1] >= active["target"]:
            return f"config.active.target={active['target']} is reached"
        if patience and len(accuracies) > patience and max(accuracies[:-patience]) >= max(accuracies[-patience:]):
            return f"nothing got better in config.active.patience={patience} rounds"
        return ""

    def _ask(self) -> bool:
        """Chooses what the next round asks, and notes it before anybody is asked; false where there is nothing."""
        round_, active = self.ledger.round + 1, self.active
        free = np.setdiff1d(global_ids(self.pool), np.fromiter(self.ledger.taken(), np.int64))
        count = min(active["per_round"] if round_ else active["initial"], len(free))
        labels = self.ledger.labels()
        if active["budget"]:
            count = min(count, int(active["budget"] / active["cost_per_label"]) - len(labels))
        choice = self.acquisition.choose(round_, free, list(labels), count)
        if not choice.ids:
            return False
        scores: Sequence[float | None] = choice.scores or [None] * len(choice.ids)
        self.ledger.ask(round_, choice.ids, scores, _now())
        # Files of a pool that could not be read when they were scored: nobody can label them.
        broken = [id_ for id_ in choice.ids if id_ in getattr(self.pool, "broken", ())]
        if broken:
            self.ledger.answer([(id_, UNLABELABLE, None) for id_ in broken], "unreadable file", _now())
        return True

    def _who(self) -> str:
        return f"{self.rounds.name} seed {self.rounds.seed}"


def make_ledger(folder: Path, identity: Mapping[str, Any]) -> Ledger:
    """The ledger of a loop in its folder."""
    return Ledger(folder / LEDGER_FILE, identity)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
