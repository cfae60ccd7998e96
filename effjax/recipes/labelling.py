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

    def test(self) -> list[dict[str, Any]]:
        """What each round measured, on the test split too; for the end, when all loops are over."""
        return [self.rounds.test(measured) for measured in self.measured]

    def train(self, round_: int) -> None:
        """Trains in all rounds up to one that have not been trained in."""
        for number in range(len(self.measured), round_ + 1):
            measured = self.rounds.train(number)
            self.measured.append({**measured, "cost": measured["labels"] * self.active["cost_per_label"]})

    def collect(self) -> None:
        """Takes the answers to what is open over into the ledger.

        Raises:
          Waiting: where people have to answer first.
          UserError: if their answers cannot be used.
        """
        if not (ids := self.ledger.open()):
            return
        pool, round_ = View(self.pool, np.asarray(ids)), self.ledger.round
        scores = {entry.id: entry.score for entry in self.ledger.entries}
        if is_primary():
            self.oracle.ask(round_, [Query(id_, scores[id_], pool[row]["image"]) for row, id_ in enumerate(ids)])
        barrier(f"{self.who} round {round_} asked")
        answers = self.oracle.answers(round_, ids)
        if answers is None:
            raise Waiting(f"{self.who}, round {round_}: {self.oracle.how_to_go_on(round_)}")
        self.ledger.answer(answers, self.oracle.who, _now())

    def why_over(self) -> str:
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

    def ask(self) -> bool:
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

    @property
    def who(self) -> str:
        """For messages."""
        return f"{self.rounds.name} seed {self.rounds.seed}"


def run_loops(loops: Sequence[Loop]) -> None:
    """Runs the rounds that are left, of one loop, or of several that train together and so go in step.

    Raises:
      Waiting: where people have to answer first.
      UserError: if their answers cannot be used.
    """
    for loop in loops:  # what is done is read first: a loop that waits for people still shows how far it has come
        loop.train(min(loop.ledger.round for loop in loops) - 1)
    while True:
        rounds = [loop.ledger.round for loop in loops]
        for loop in loops:
            loop.collect()
        for loop in loops:
            loop.train(min(rounds))
        # After an interruption some may not have asked yet what the others have.
        asking = [loop for loop in loops if loop.ledger.round == min(rounds)]
        reasons = [loop.why_over() for loop in asking]
        if len(asking) == len(loops) and any(reasons):
            _log.info("%s: over after %d rounds: %s", loops[0].who, len(loops[0].measured), max(reasons))
            return
        for loop in asking:
            if not loop.ask():
                _log.info("%s: over after %d rounds: the stream has ended", loop.who, len(loop.measured))
                return


def make_ledger(folder: Path, identity: Mapping[str, Any]) -> Ledger:
    """The ledger of a loop in its folder."""
    return Ledger(folder / LEDGER_FILE, identity)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
