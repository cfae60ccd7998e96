"""One labelling loop: train on what is labelled, score the pool, choose, ask, again. The ledger is its only state."""

import dataclasses
import datetime
import functools
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from effjax.data.base import Source, Subset, available_ids
from effjax.data.ledger import ASKED, KINDS, LABELLED, SKIPPED, TAG, UNLABELABLE, Answer, Ledger
from effjax.errors import UserError
from effjax.recipes.active.acquisition import Acquisition
from effjax.recipes.active.kinds import STRONG
from effjax.recipes.active.oracles import Oracle, Proposed, Query
from effjax.recipes.active.proposals import proposals
from effjax.recipes.active.rounds import Rounds
from effjax.recipes.active.shown import LEAST, files_of, is_photo, path_of, photo_of, words_of
from effjax.reports.numbered_sheet import enlarged
from effjax.runtime import Interrupted
from effjax.runtime.hosts import barrier, is_primary
from effjax.tasks import AnswerFormat
from effjax.tasks.box_answers import BoxAnswers

_log = logging.getLogger("effjax")

#: Who has answered where no person could.
UNREADABLE, GONE = "unreadable file", "no file"


class Waiting(Interrupted):
    """People have been asked and have not answered yet. The message says what to do."""


class Asked(NamedTuple):
    """A kind of question that a loop asks.

    Attributes:
      oracle: who answers.
      answers: what an answer is, what it says and costs.
    """

    oracle: Oracle
    answers: AnswerFormat


@dataclasses.dataclass
class Loop:
    """A labelling loop.

    Attributes:
      ledger: what has been asked and answered.
      rounds: what trains and measures.
      acquisition: what chooses.
      pool: where examples are read.
      active: how many, how often, see :func:`effjax.recipes.schema.active`.
      kinds: by kind of question, who answers it, and with what; most loops have one.
      counts_items: whether answers may speak of several things, which are counted.
      measured: what each round so far has measured.
    """

    ledger: Ledger
    rounds: Rounds
    acquisition: Acquisition
    pool: Source
    active: Mapping[str, Any]
    kinds: Mapping[str, Asked]
    counts_items: bool = False
    measured: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    _trained: int = 0

    def test(self) -> list[dict[str, Any]]:
        """What each round measured, on the test split too; for the end, when all loops are over."""
        return [self.rounds.test(measured) for measured in self.measured]

    def train(self, round_: int) -> None:
        """Trains in all rounds up to one that have not been trained in."""
        for number in range(self._trained, round_ + 1):
            if self.rounds.labels_of(number):  # people may have skipped everything so far
                measured = self.rounds.train(number)
                spent: dict[str, float] = {"cost": self._cost(measured["labels"], number + 1)}
                if self.counts_items:
                    spent["items"] = self._items(number)
                self.measured.append({**measured, **spent})
            self._trained = number + 1

    def collect(self) -> None:
        """Takes the answers to what is open over into the ledger, and corrections of what was answered before.

        Raises:
          Waiting: where people have to answer first, or have not answered all.
          UserError: if their answers cannot be used.
        """
        self._answer_what_nobody_can()
        self._correct()
        waits = [said for kind in self.kinds if (said := self._collect(kind))]
        if waits:
            raise Waiting("\n".join(waits))

    def _collect(self, kind: str) -> str:
        """The same of one kind of question; returns what people have to do first, where they have."""
        if not (ids := self.ledger.open(kind)):
            return ""
        round_, (oracle, _) = self.ledger.round, self.kinds[kind]
        proposed = self._proposed(round_, ids, kind)
        if is_primary() or oracle.is_simulated:  # which answers in every process by itself
            oracle.ask(round_, self._queries(ids, proposed))
        barrier(f"{self.who} round {round_} asked {kind}")
        waiting = set(ids)
        found = oracle.answers(round_, self.ledger.asked_in(round_, kind), waiting)
        found = [answer._replace(kind=kind) for answer in found if answer.id in waiting]
        self.ledger.answer(self._priced(found), oracle.who, now())
        if left := self.ledger.open(kind):
            said = f"{len(found)} answers are taken over, {len(left)} are still to come: " if found else ""
            return f"{self.who}, round {round_}: {said}{oracle.how_to_go_on(round_)}"
        return ""

    def _answer_what_nobody_can(self) -> None:
        """Files of a pool that are gone, or that no decoder can read."""
        gone = [question for question in self.ledger.waiting() if question.id in getattr(self.pool, "gone", ())]
        self.ledger.answer([Answer(id_, SKIPPED, kind=kind) for id_, _, kind in gone], GONE, now())
        broken = getattr(self.pool, "broken", None)
        if broken is None:
            return
        for id_ in self.ledger.open():
            _ = self.pool[id_]  # notes what cannot be read
        unreadable = [question for question in self.ledger.waiting() if question.id in broken]
        self.ledger.answer([Answer(id_, UNLABELABLE, kind=kind) for id_, _, kind in unreadable], UNREADABLE, now())

    def _proposed(self, round_: int, ids: Sequence[int], kind: str) -> Mapping[int, Proposed]:
        """What the last network says of images, where people correct that."""
        oracle, answers = self.kinds[kind]
        wanted = oracle.wants_proposals(round_)
        barrier(f"{self.who} round {round_} {kind} looked at")  # before the first process writes what others look for
        # Who wants some has answers that can be proposed.
        return proposals(self.rounds, round_, self.pool, ids, cast(BoxAnswers, answers)) if wanted else {}

    def _queries(self, ids: Sequence[int], proposed: Mapping[int, Proposed]) -> list[Query]:
        """What people are asked, with what they are shown."""
        scores = {entry.id: entry.score for entry in self.ledger.entries if entry.event == ASKED}
        if is_photo(self.pool):
            pictures = [functools.partial(photo_of, self.pool, id_, least=LEAST) for id_ in ids]
        else:
            pool = Subset(self.pool, np.asarray(ids))
            pictures = [functools.partial(_enlarged, pool, row) for row in range(len(ids))]
        parts = zip(ids, pictures, strict=True)
        question = words_of(self.pool) if "question" in self.pool.info.names else lambda _: ""
        return [
            Query(id_, scores[id_], shown, path_of(self.pool, id_), question(id_), proposed.get(id_))
            for id_, shown in parts
        ]

    def _correct(self) -> None:
        """Notes where people now say something else than before.

        Raises:
          UserError: if what they say cannot be used.
        """
        for kind, (oracle, _) in self.kinds.items():
            if oracle.may_correct:
                self._correct_kind(kind, oracle)

    def _correct_kind(self, kind: str, oracle: Oracle) -> None:
        ledger, answers, last = self.ledger, self.ledger.answers(), self.ledger.last_asked()
        found: list[Answer] = []
        for round_ in range(ledger.round + 1):
            said = oracle.answers(round_, ledger.asked_in(round_, kind), ())
            for answer in (answer._replace(kind=kind) for answer in said):
                if last[answer.question] == round_:
                    now_said = answers.get(answer.question)  # None while it waits: no correction
                    found += [answer] if now_said not in (None, (answer.event, answer.answer)) else []
                elif answer.event != SKIPPED:  # what was asked again had been skipped
                    raise UserError(
                        f"{self.who}: example {answer.id} was skipped in round {round_} and asked again in round "
                        f"{last[answer.question]}: correct it there, and leave it skipped in round {round_}"
                    )
        for answer in found:
            path = path_of(self.pool, answer.id)
            _log.info("%s: corrected: example %d%s", self.who, answer.id, f" ({path})" if path else "")
        ledger.correct(self._priced(found), oracle.who, now())

    def _priced(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers with what they cost, where the oracle has not said so and the task does.

        Raises:
          UserError: if one is no answer.
        """
        found = []
        for answer in answers:
            if answer.event == LABELLED:
                format_ = self.kinds[answer.kind].answers
                if problem := format_.problem(answer.answer):
                    raise UserError(f"{self.who}: {answer.question}: {problem}")
                cost = format_.cost(answer.answer) if answer.cost is None else answer.cost
                answer = answer._replace(cost=cost)
            found.append(answer)
        return found

    def _items(self, round_: int) -> int:
        """Of how many things the labels say something that a round learns from, such as boxes."""
        format_ = self.rounds.trainer.answers
        return sum(format_.items(answer) for answer in self.rounds.labels_of(round_).values())

    def _cost(self, labels: int, before: int | None = None) -> float:
        """What so many labels cost: what answers say of themselves, and config.active.cost_per_label for the others."""
        said, number = self.ledger.costs(before)
        return max(labels - number, 0) * self.active["cost_per_label"] + said

    def why_over(self) -> str:
        """Why no further round follows; empty where one does."""
        active, labels = self.active, len(self.ledger.labels())
        watched, patience = f"validation/{self.rounds.watch}", active["patience"]
        reached = [round_[watched] for round_ in self.measured]
        if self.ledger.round + 1 - len(self.ledger.fruitless()) >= active["rounds"]:
            return f"these were all of config.active.rounds={active['rounds']}"
        if not len(self._free(STRONG if self._several else KINDS)):
            return "nothing is left to be asked"
        # Of several kinds of questions, one that would be too dear may have a cheaper one beside it.
        spent = self._cost(labels) >= active["budget"] if self._several else self._cost(labels + 1) > active["budget"]
        if active["budget"] and spent:
            return f"config.active.budget={active['budget']} is spent"
        if active["target"] and reached and reached[-1] >= active["target"]:
            return f"config.active.target={active['target']} is reached"
        if patience and len(reached) > patience and max(reached[:-patience]) >= max(reached[-patience:]):
            return f"nothing got better in config.active.patience={patience} rounds"
        return ""

    def ask(self) -> bool:
        """Chooses what the next round asks, and notes it before anybody is asked; false where there is nothing.

        After a round that has brought no label, what was skipped in it is not asked for at once, if there is else.
        """
        if self._several:
            return self._ask_kinds()
        round_, active = self.ledger.round + 1, self.active
        labelled = list(self.rounds.labels_of(round_ - 1))  # what the last network has learnt from, if there is one
        free = self._free()
        if round_ - 1 in self.ledger.fruitless():
            others = np.setdiff1d(free, self.ledger.asked_in(round_ - 1))
            free = others if len(others) else free
        count = min(active["per_round"] if labelled else active["initial"], len(free))
        if active["budget"]:
            said, number = self.ledger.costs()
            unsaid = len(self.ledger.labels()) - number
            count = min(count, int((active["budget"] - said) / active["cost_per_label"]) - unsaid)
        choice = self.acquisition.choose(round_, free, labelled, count)
        if not choice.ids:
            return False
        scores: Sequence[float | None] = choice.scores or [None] * len(choice.ids)
        self.ledger.ask(round_, choice.ids, scores, now(), files_of(self.pool, choice.ids))
        return True

    def _ask_kinds(self) -> bool:
        """The same where a round asks questions of several kinds, for so many seconds together."""
        round_, active, query = self.ledger.round + 1, self.active, self.acquisition.query
        boxes, tags = self._free(STRONG), self._free() if TAG in query["kinds"] else np.zeros(0, np.int64)
        if not self.rounds.labels_of(round_ - 1):
            choice = self.acquisition.begin(round_, boxes, active["initial"], tags, query["tags"])
        else:
            seconds = active["seconds"]
            if active["budget"]:
                seconds = min(seconds, active["budget"] - self._cost(len(self.ledger.labels())))
            choice = self.acquisition.choose_kinds(
                round_, boxes, tags, list(self.rounds.labels_of(round_ - 1)), seconds
            )
        if not choice.ids:
            return False
        scores: Sequence[float | None] = choice.scores or [None] * len(choice.ids)
        self.ledger.ask(round_, choice.ids, scores, now(), files_of(self.pool, choice.ids), kind=choice.kinds)
        return True

    def _free(self, kinds: Collection[str] = KINDS) -> np.ndarray:
        """Global ids that may be asked for, ascending; ``kinds`` are those of the questions that stand in the way."""
        return np.setdiff1d(available_ids(self.pool), np.fromiter(self.ledger.taken(kinds), np.int64))

    @property
    def _several(self) -> bool:
        """Whether questions are of several kinds."""
        return bool(self.acquisition.query["kinds"])

    @property
    def who(self) -> str:
        """For messages."""
        return f"{self.rounds.name} seed {self.rounds.seed}"


def _enlarged(pool: Source, row: int) -> np.ndarray:
    return enlarged(pool[row]["image"], LEAST)


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


def now() -> str:
    """ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
