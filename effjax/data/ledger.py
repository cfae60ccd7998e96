"""The ledger of a labelling loop: what was asked, when, and what was answered. Append-only; everything else follows."""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from effjax.errors import UserError

ASKED, LABELLED, SKIPPED, UNLABELABLE = "asked", "labelled", "skipped", "unlabelable"
ANSWERS = (LABELLED, SKIPPED, UNLABELABLE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
      round: of the loop, from 0.
      id: the example's global id.
      event: ``"asked"``, ``"labelled"``, ``"skipped"`` (may be asked again) or ``"unlabelable"`` (never again).
      score: why it was asked; None where there was none.
      label: the class, for ``"labelled"``.
      who: who answered.
      when: ISO 8601, UTC.
      size: how many entries were written at once; one that a kill cut short is as if it had not begun.
    """

    round: int
    id: int
    event: str
    score: float | None = None
    label: int | None = None
    who: str = ""
    when: str = ""
    size: int = 1


class Ledger:
    """The entries of one loop, in a file of JSON lines.

    Args:
      path: the file; made with the first entry. What an interrupted write left at its end is cut off.
      identity: what makes the loop what it is, JSON-like: the file's first line. Another loop's file is refused.

    Raises:
      UserError: if the file is another loop's, or is damaged anywhere but at its end.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any]):
        self.path, self._identity = Path(path), json.loads(json.dumps(identity))
        self.entries: list[Entry] = self._read()

    def ask(self, round_: int, ids: Sequence[int], scores: Sequence[float | None], when: str) -> None:
        """Notes that examples were chosen.

        Raises:
          UserError: if one was asked before and not skipped, twice in this batch, or the round before is still open.
        """
        if self.entries and round_ < self.round:
            raise UserError(f"{self.path}: round {round_} is over; the ledger is at round {self.round}")
        if open_ids := self.open():
            raise UserError(f"{self.path}: {len(open_ids)} examples of round {self.round} have no answer yet")
        taken = self.taken() | self.asked_in(round_)
        for id_ in ids:
            if id_ in taken:
                raise UserError(f"{self.path}: example {id_} was asked before")
            taken.add(id_)
        pairs = zip(ids, scores, strict=True)
        self._append([Entry(round_, int(i), ASKED, None if s is None else float(s), when=when) for i, s in pairs])

    def answer(self, answers: Iterable[tuple[int, str, int | None]], who: str, when: str) -> None:
        """Notes answers ``(id, event, label)`` to what is open; all of them or none.

        Raises:
          UserError: if an example is not open, or an answer is none of the allowed.
        """
        answers, open_ids, round_ = list(answers), set(self.open()), self.round
        for id_, event, label in answers:
            if id_ not in open_ids:
                raise UserError(f"{self.path}: example {id_} is not waiting for an answer")
            if event not in ANSWERS or (event == LABELLED) != (label is not None):
                raise UserError(f"{self.path}: example {id_}: answer {event!r} with label {label!r}")
        if len({id_ for id_, *_ in answers}) != len(answers):
            raise UserError(f"{self.path}: two answers for one example")
        self._append([Entry(round_, id_, event, None, label, who, when) for id_, event, label in answers])

    @property
    def round(self) -> int:
        """The last round that anything was asked in; -1 before the first."""
        return max((entry.round for entry in self.entries), default=-1)

    def asked_in(self, round_: int) -> set[int]:
        return {entry.id for entry in self.entries if entry.event == ASKED and entry.round == round_}

    def open(self) -> list[int]:
        """The examples that wait for an answer, in the order they were asked."""
        waiting: dict[int, None] = {}
        for entry in self.entries:
            if entry.event == ASKED:
                waiting[entry.id] = None
            else:
                waiting.pop(entry.id, None)
        return list(waiting)

    def labels(self, before: int | None = None) -> dict[int, int]:
        """The labels by id, in the order they came; of rounds before one, if given."""
        return {
            entry.id: entry.label
            for entry in self.entries
            if entry.event == LABELLED and (before is None or entry.round < before)
        }

    def taken(self) -> set[int]:
        """What must not be asked again: labelled, unlabelable, or waiting."""
        done = {entry.id for entry in self.entries if entry.event in (LABELLED, UNLABELABLE)}
        return done | set(self.open())

    def _append(self, entries: Sequence[Entry]) -> None:
        """One write, and on the disk before anything else happens."""
        entries = [dataclasses.replace(entry, size=len(entries)) for entry in entries]
        lines = [] if self.path.exists() else [{"identity": self._identity}]
        lines += [{k: v for k, v in dataclasses.asdict(entry).items() if v not in (None, "")} for entry in entries]
        if jax.process_index() == 0:  # all processes note the same, one writes
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
                file.flush()
                os.fsync(file.fileno())
        self.entries.extend(entries)

    def _read(self) -> list[Entry]:
        if not self.path.exists():
            return []
        data = self.path.read_bytes()
        lines = data.split(b"\n")[:-1]  # what follows the last newline was cut short
        header = json.loads(lines[0])["identity"] if lines else self._identity
        if header != self._identity:
            changed = [k for k in {*header, *self._identity} if header.get(k) != self._identity.get(k)]
            raise UserError(
                f"{self.path} is the ledger of another loop ({', '.join(sorted(changed))} differ): "
                "give another --workdir"
            )
        entries = [self._parse(number, line) for number, line in enumerate(lines[1:], start=2)]
        whole, at = 0, 0
        while at < len(entries) and at + entries[at].size <= len(entries):
            at += entries[at].size
            whole = at
        self._cut(lines, whole, len(data))
        return entries[:whole]

    def _parse(self, number: int, line: bytes) -> Entry:
        try:
            return Entry(**json.loads(line))
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.path}: line {number} is damaged: {error}") from error

    def _cut(self, lines: Sequence[bytes], whole: int, size: int) -> None:
        """Takes off the file what belongs to no whole batch, so that the next one can follow."""
        kept = sum(len(line) + 1 for line in lines[: whole + 1]) if whole else 0
        if jax.process_index() != 0:
            return
        if kept == 0:
            self.path.unlink()
        elif kept < size:
            with self.path.open("r+b") as file:
                file.truncate(kept)
