"""What a ledger's entries are, and which may follow which."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

ASKED, LABELLED, SKIPPED, UNLABELABLE = "asked", "labelled", "skipped", "unlabelable"
CORRECTED, NAMED = "corrected", "named"
ANSWERS = (LABELLED, SKIPPED, UNLABELABLE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
      round: of the loop, from 0; of a correction, the first that it holds for.
      id: the example's global id.
      event: ``"asked"``, ``"labelled"``, ``"skipped"`` (may be asked again), ``"unlabelable"`` (never again),
        ``"corrected"`` (another answer than before) or ``"named"`` (the file of an example that was asked without one).
      score: why it was asked; None where there was none.
      label: the class, for ``"labelled"`` and ``"corrected"``.
      who: who answered.
      when: ISO 8601, UTC.
      size: how many entries were written at once; one that a kill cut short is as if it had not begun.
      seconds: how long the answer took; None where nobody knows.
      instead: of a correction to no label, ``"skipped"`` or ``"unlabelable"``.
      path: of an example that is a file of a folder, relative to it.
      bytes: of the file.
      digest: of what is in it.
    """

    round: int
    id: int
    event: str
    score: float | None = None
    label: int | None = None
    who: str = ""
    when: str = ""
    size: int = 1
    seconds: float | None = None
    instead: str = ""
    path: str = ""
    bytes: int | None = None
    digest: str = ""

    def as_json(self) -> dict[str, Any]:
        """What is written: all that is there."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value not in (None, "")}


_TEXT = {"event", "who", "when", "instead", "path", "digest"}
_NUMBERS = {"score", "seconds"}
_FIELDS = [field.name for field in dataclasses.fields(Entry)]


def entry_of(content: Mapping[str, Any]) -> Entry:
    """The entry that a line holds.

    Raises:
      ValueError: if it holds none.
    """
    for name, value in content.items():
        if name not in _FIELDS:
            raise ValueError(f"{name!r} is no part of an entry")
        whole = isinstance(value, int) and not isinstance(value, bool)
        if name in _TEXT:
            fits = isinstance(value, str)
        elif name in _NUMBERS:
            fits = (whole or isinstance(value, float)) and (name == "score" or math.isfinite(value))
        else:
            fits = whole and value >= (name == "size")
        if not fits:
            raise ValueError(f"{name}={value!r} cannot be")
    if missing := [name for name in ("round", "id", "event") if name not in content]:
        raise ValueError(f"{missing[0]!r} is missing")
    return Entry(**content)


class State:
    """What follows from a ledger's entries.

    Attributes:
      round: the last that anything was asked in; -1 before the first.
      waiting: what waits for an answer, in the order it was asked.
      answers: by id, the event and the label that hold.
    """

    def __init__(self):
        self.round = -1
        self.waiting: dict[int, None] = {}
        self.answers: dict[int, tuple[str, int | None]] = {}
        self._asked: set[int] = set()  # in the last round

    def copy(self) -> "State":
        """A state that goes on by itself."""
        other = State()
        other.round, other.waiting, other.answers = self.round, dict(self.waiting), dict(self.answers)
        other._asked = set(self._asked)
        return other

    def taken(self) -> set[int]:
        """What must not be asked again: labelled, unlabelable, or waiting."""
        return {id_ for id_, (event, _) in self.answers.items() if event != SKIPPED} | set(self.waiting)

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
            if entry.id not in self.answers and entry.id not in self.waiting:
                raise ValueError(f"example {entry.id} was not asked for")
        else:
            self._answer(entry)

    def _ask(self, entry: Entry) -> None:
        if entry.round < self.round:
            raise ValueError(f"round {entry.round} is over; the ledger is at round {self.round}")
        known = self.answers.get(entry.id, (SKIPPED, None))[0] != SKIPPED
        if known or entry.id in self.waiting or (entry.round == self.round and entry.id in self._asked):
            raise ValueError(f"example {entry.id} was asked before")
        if entry.round > self.round:
            self.round, self._asked = entry.round, set()
        self._asked.add(entry.id)
        self.answers.pop(entry.id, None)
        self.waiting[entry.id] = None

    def _answer(self, entry: Entry) -> None:
        if entry.id not in self.waiting or entry.round != self.round:
            raise ValueError(f"example {entry.id} is not waiting for an answer")
        if entry.event not in ANSWERS or (entry.event == LABELLED) != (entry.label is not None):
            raise ValueError(f"example {entry.id}: answer {entry.event!r} with label {entry.label!r}")
        del self.waiting[entry.id]
        self.answers[entry.id] = entry.event, entry.label

    def _correct(self, entry: Entry) -> None:
        event = LABELLED if entry.label is not None else entry.instead
        if entry.id not in self.answers:
            raise ValueError(f"example {entry.id} has no answer yet that could be corrected")
        if event not in ANSWERS or (entry.label is not None and entry.instead):
            raise ValueError(f"example {entry.id}: corrected to {entry.instead!r} with label {entry.label!r}")
        if entry.round != self.round + (not self.waiting):
            raise ValueError(f"example {entry.id}: corrected in round {entry.round}; the ledger is at {self.round}")
        self.answers[entry.id] = event, entry.label
