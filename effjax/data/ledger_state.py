"""What a ledger's entries are, and which may follow which."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

ASKED, LABELLED, SKIPPED, UNLABELABLE = "asked", "labelled", "skipped", "unlabelable"
CORRECTED, NAMED = "corrected", "named"
ANSWERS = (LABELLED, SKIPPED, UNLABELABLE)

TAG, BOX, CORRECT = "tag", "box", "correct"
#: What people are asked to do: choose a class, draw boxes, say whether something is right, mend it, answer in words.
KINDS = (TAG, BOX, "verify", CORRECT, "answer")


class Question(NamedTuple):
    """What is asked for, and has one answer.

    Attributes:
      id: the example's global id.
      item: what of the example is meant, as JSON text; empty for all of it.
      kind: one of :data:`KINDS`.
    """

    id: int
    item: str = ""
    kind: str = TAG

    @classmethod
    def of(cls, id_: int, item: Any = None, kind: str = TAG) -> "Question":
        """The question about an item, which is any JSON; None for the whole example."""
        return cls(int(id_), "" if item is None else json.dumps(item, sort_keys=True), kind)

    def __str__(self) -> str:
        return f"example {self.id}" + (f", {self.kind} {self.item}".rstrip() if self[1:] != ("", TAG) else "")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
      round: of the loop, from 0; of a correction, the first that it holds for.
      id: the example's global id.
      event: ``"asked"``, ``"labelled"``, ``"skipped"`` (may be asked again), ``"unlabelable"`` (never again),
        ``"corrected"`` (another answer than before) or ``"named"`` (the file of an example that was asked without one).
      score: why it was asked; None where there was none.
      answer: for ``"labelled"`` and ``"corrected"``, any JSON but null. On disk, a class, a whole number from 0 on, is
        called ``label``; everything else ``answer``.
      who: who answered.
      when: ISO 8601, UTC.
      size: how many entries were written at once; one that a kill cut short is as if it had not begun.
      seconds: how long the answer took by the clock; None where nobody knows.
      instead: of a correction to no label, ``"skipped"`` or ``"unlabelable"``.
      path: of an example that is a file of a folder, relative to it.
      bytes: of the file.
      digest: of what is in it.
      item: what of the example is meant (a box, a frame, a part), any JSON; None for all of it.
      kind: of the question, one of :data:`KINDS`; only written where it is no tag.
      cost: what the answer counts for in a budget, in seconds; None where it says nothing.
    """

    round: int
    id: int
    event: str
    score: float | None = None
    answer: Any = None
    who: str = ""
    when: str = ""
    size: int = 1
    seconds: float | None = None
    instead: str = ""
    path: str = ""
    bytes: int | None = None
    digest: str = ""
    item: Any = None
    kind: str = TAG
    cost: float | None = None

    @property
    def question(self) -> Question:
        return Question.of(self.id, self.item, self.kind)

    def as_json(self) -> dict[str, Any]:
        """What is written: all that is there."""
        answer = "label" if _is_class(self.answer) else "answer"
        named = {answer if name == "answer" else name: value for name, value in vars(self).items()}
        absent = {"kind": TAG, **dict.fromkeys(_TEXT - {"kind"}, "")}
        return {name: value for name, value in named.items() if value is not None and value != absent.get(name)}


_TEXT = {"event", "who", "when", "instead", "path", "digest", "kind"}
_NUMBERS = {"score", "seconds", "cost"}
_JSON = {"answer", "item"}
_FIELDS = {field.name for field in dataclasses.fields(Entry)} | {"label"}


def entry_of(content: Mapping[str, Any]) -> Entry:
    """The entry that a line holds.

    Raises:
      ValueError: if it holds none.
    """
    for name, value in content.items():
        if name not in _FIELDS:
            raise ValueError(f"{name!r} is no part of an entry")
        if not _fits(name, value):
            raise ValueError(f"{name}={value!r} cannot be")
    if missing := [name for name in ("round", "id", "event") if name not in content]:
        raise ValueError(f"{missing[0]!r} is missing")
    if "label" in content and "answer" in content:
        raise ValueError("it has two answers")
    return Entry(**{"answer" if name == "label" else name: value for name, value in content.items()})


def _fits(name: str, value: Any) -> bool:
    """Whether a line may say this."""
    if name in _JSON:
        return value is not None and not (name == "answer" and _is_class(value))
    if name in _TEXT:
        return isinstance(value, str) and (name != "kind" or value in KINDS)
    if name in _NUMBERS:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        return real and (name == "score" or math.isfinite(value)) and (name != "cost" or value >= 0)
    return _is_class(value) and value >= (name == "size")


def _is_class(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class State:
    """What follows from a ledger's entries.

    Attributes:
      round: the last that anything was asked in; -1 before the first.
      waiting: what waits for an answer, in the order it was asked.
      answers: by question, the event and the answer that hold.
      asked: the ids of all examples that were ever asked about.
    """

    def __init__(self):
        self.round = -1
        self.waiting: dict[Question, None] = {}
        self.answers: dict[Question, tuple[str, Any]] = {}
        self.asked: set[int] = set()
        self._last: set[Question] = set()  # in the last round

    def copy(self) -> "State":
        """A state that goes on by itself."""
        other = State()
        other.round, other.waiting, other.answers = self.round, dict(self.waiting), dict(self.answers)
        other.asked, other._last = set(self.asked), set(self._last)
        return other

    def taken(self) -> set[Question]:
        """What must not be asked again: labelled, unlabelable, or waiting."""
        return {question for question, (event, _) in self.answers.items() if event != SKIPPED} | set(self.waiting)

    def add(self, entry: Entry) -> None:
        """Follows one more entry.

        Raises:
          ValueError: if it cannot follow; the state is then as before.
        """
        if entry.event == ASKED:
            self._ask(entry)
        elif entry.event == CORRECTED:
            self._correct(entry)
        elif entry.event == NAMED:
            if entry.id not in self.asked:
                raise ValueError(f"example {entry.id} was not asked for")
        else:
            self._answer(entry)

    def _ask(self, entry: Entry) -> None:
        if entry.round < self.round:
            raise ValueError(f"round {entry.round} is over; the ledger is at round {self.round}")
        question = entry.question
        known = self.answers.get(question, (SKIPPED, None))[0] != SKIPPED
        if known or question in self.waiting or (entry.round == self.round and question in self._last):
            raise ValueError(f"{question} was asked before")
        if entry.round > self.round:
            self.round, self._last = entry.round, set()
        self.asked.add(entry.id)
        self._last.add(question)
        self.answers.pop(question, None)
        self.waiting[question] = None

    def _answer(self, entry: Entry) -> None:
        question = entry.question
        if question not in self.waiting or entry.round != self.round:
            raise ValueError(f"{question} is not waiting for an answer")
        if entry.event not in ANSWERS or (entry.event == LABELLED) != (entry.answer is not None):
            raise ValueError(f"{question}: answer {entry.event!r} with label {entry.answer!r}")
        del self.waiting[question]
        self.answers[question] = entry.event, entry.answer

    def _correct(self, entry: Entry) -> None:
        question, event = entry.question, LABELLED if entry.answer is not None else entry.instead
        if question not in self.answers:
            raise ValueError(f"{question} has no answer yet that could be corrected")
        if event not in ANSWERS or (entry.answer is not None and entry.instead):
            raise ValueError(f"{question}: corrected to {entry.instead!r} with label {entry.answer!r}")
        if entry.round != self.round + (not self.waiting):
            raise ValueError(f"{question}: corrected in round {entry.round}; the ledger is at {self.round}")
        self.answers[question] = event, entry.answer
