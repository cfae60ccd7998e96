"""The ledger of a labelling loop: what was asked, when, and what was answered. Append-only; everything else follows."""

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from effjax.data.ledger_lines import FORMAT, Chain
from effjax.data.ledger_state import (
    ANSWERS,
    ASKED,
    CORRECTED,
    KINDS,
    LABELLED,
    NAMED,
    SKIPPED,
    TAG,
    UNLABELABLE,
    Entry,
    Question,
    State,
    entry_of,
)
from effjax.errors import UserError
from effjax.files import storage, write_whole

__all__ = [
    "ANSWERS",
    "ASKED",
    "CORRECTED",
    "KINDS",
    "LABELLED",
    "NAMED",
    "SKIPPED",
    "TAG",
    "UNLABELABLE",
    "Answer",
    "Entry",
    "File",
    "Ledger",
    "Question",
]

_log = logging.getLogger("effjax")

_WHAT_TO_DO = "put the file back from a copy, or begin a new loop with another --workdir"


class Answer(NamedTuple):
    """What was said of an example: a label, or why there is none.

    Attributes:
      id: the example's global id.
      event: ``"labelled"``, ``"skipped"`` or ``"unlabelable"``.
      answer: for ``"labelled"``, any JSON but null: a class's number, boxes, a text.
      who: who said so, if it was not the one who is named for all.
      seconds: how long it took by the clock; None where nobody knows.
      item: what of the example was asked about, any JSON; None for all of it.
      kind: of the question, as it was asked.
      cost: what it counts for in a budget, in seconds; None where it says nothing.
    """

    id: int
    event: str
    answer: Any = None
    who: str = ""
    seconds: float | None = None
    item: Any = None
    kind: str = TAG
    cost: float | None = None

    @property
    def question(self) -> Question:
        return Question.of(self.id, self.item, self.kind)


class File(NamedTuple):
    """The file of an example of a folder: where it lies, and what was in it when it was asked for.

    Attributes:
      path: relative to the folder.
      bytes: its size; None where it has not been noted.
      digest: of its contents, hexadecimal: SHA-256, or what a folder with labels has anyway.
    """

    path: str
    bytes: int | None
    digest: str


class Ledger:
    """The entries of one loop, in a file of JSON lines; :mod:`effjax.data.ledger_lines` says how they are kept whole.

    What an interrupted write has left at the end of the file is as if it had not begun. The next write moves it to
    ``ledger.jsonl.cut-1`` and so on.

    Args:
      path: the file; made with the first entry.
      identity: what makes the loop what it is, JSON-like: the file's first line. Another loop's file is refused. None
        takes the file as it is, to read it.

    Raises:
      UserError: if the file is another loop's, or is damaged anywhere but at its end.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any] | None = None):
        self.path = Path(path)
        self._identity = None if identity is None else json.loads(json.dumps(identity))
        self.entries: list[Entry] = []
        self._state, self._chain, self._cut = State(), Chain(), b""
        self._read()

    def ask(
        self,
        round_: int,
        ids: Sequence[int],
        scores: Sequence[float | None],
        when: str,
        files: Sequence[File | None] | None = None,
        *,
        items: Sequence[Any] | None = None,
        kind: str | Sequence[str] = TAG,
    ) -> None:
        """Notes that examples were chosen.

        Args:
          round_: the round.
          ids: global ids.
          scores: why each was chosen.
          when: ISO 8601, UTC.
          files: of examples of a folder.
          items: what of each example is asked about, any JSON, None for all of it; None: whole examples.
          kind: what people are asked to do, one of :data:`effjax.data.ledger_state.KINDS`, or one for each example.

        Raises:
          UserError: if one was asked before and not skipped, twice in this batch, or the round before is still open.
        """
        if open_ids := self.open():
            raise UserError(f"{self.path}: {len(open_ids)} examples of round {self.round} have no answer yet")
        nothing = [None] * len(ids)
        kinds = [kind] * len(ids) if isinstance(kind, str) else kind
        parts = zip(ids, scores, files or nothing, items or nothing, kinds, strict=True)
        self._append(
            [
                Entry(
                    *(round_, int(i), ASKED, None if s is None else float(s)),
                    **{"when": when, **_of_file(file), "item": self._json(i, item), "kind": kind},
                )
                for i, s, file, item, kind in parts
            ]
        )

    def answer(self, answers: Iterable[tuple[Any, ...]], who: str, when: str) -> None:
        """Notes answers to what is open; all of them or none. What has no answer stays open.

        Args:
          answers: each an :class:`Answer`, or a tuple of its first parts.
          who: answered where the answer does not name anybody.
          when: ISO 8601, UTC.

        Raises:
          UserError: if an example is not open, or an answer is none of the allowed.
        """
        answers = [Answer(*answer) for answer in answers]
        if len({answer.question for answer in answers}) != len(answers):
            raise UserError(f"{self.path}: two answers for one example")
        self._append([self._said(self.round, a.event, a, who, when) for a in answers])

    def correct(self, answers: Iterable[tuple[Any, ...]], who: str, when: str) -> None:
        """Notes other answers to what has been answered before.

        They hold from the round that waits for labels on; where none waits, from the next.

        Raises:
          UserError: if an example has no answer yet, or an answer is none of the allowed.
        """
        round_ = self.round + (not self.open())
        self._append([self._said(round_, CORRECTED, Answer(*answer), who, when) for answer in answers])

    def name(self, files: Mapping[int, File], when: str) -> None:
        """Notes the files of examples that were asked for before ledgers noted any."""
        self._append([Entry(self.round, id_, NAMED, when=when, **_of_file(file)) for id_, file in files.items()])

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the file's first line says, or will say."""
        return self._identity or {}

    @property
    def round(self) -> int:
        """The last round that anything was asked in; -1 before the first."""
        return self._state.round

    def asked_in(self, round_: int, kind: str | None = None) -> list[int]:
        """What was asked in a round, in the order it was asked; of one kind, or of all."""
        asked = (entry for entry in self.entries if entry.event == ASKED and entry.round == round_)
        return [entry.id for entry in asked if kind in (None, entry.kind)]

    def last_asked(self) -> dict[Question, int]:
        """By question, the last round in which it was asked."""
        return {entry.question: entry.round for entry in self.entries if entry.event == ASKED}

    def waiting(self) -> list[Question]:
        """What waits for an answer, in the order it was asked."""
        return list(self._state.waiting)

    def open(self, kind: str | None = None) -> list[int]:
        """The examples that wait for an answer, in the order they were asked; to questions of one kind, or of all."""
        waiting = (question for question in self._state.waiting if kind in (None, question.kind))
        return list(dict.fromkeys(question.id for question in waiting))

    def answers(self) -> dict[Question, tuple[str, Any]]:
        """By question, the event and the answer that hold now; what waits for an answer has none."""
        return dict(self._state.answers)

    def fruitless(self) -> set[int]:
        """The rounds that have brought no label: everything was skipped, or cannot be labelled."""
        last = self.last_asked()
        return set(range(self.round + 1)) - {last[question] for question in self.learnt()}

    def labels(self, before: int | None = None, kinds: Collection[str] = KINDS) -> dict[int, Any]:
        """By id, the answers to what was asked about whole examples.

        Args:
          before: only of rounds before this one.
          kinds: of the questions that count.

        Returns:
          In the order of :meth:`learnt`.
        """
        learnt = self.learnt(before).items()
        return {question.id: answer for question, answer in learnt if not question.item and question.kind in kinds}

    def learnt(self, before: int | None = None) -> dict[Question, Any]:
        """The answers by question, in the order they came, corrections in the place of what they correct.

        Args:
          before: only of rounds before this one.
        """
        found: dict[Question, Any] = {}
        for entry in self._before(before):
            if entry.event in (LABELLED, CORRECTED) and entry.answer is not None:
                found[entry.question] = entry.answer
            elif entry.event == CORRECTED:
                found.pop(entry.question, None)
        return found

    def costs(self, before: int | None = None) -> tuple[float, int]:
        """What answers say that they cost, together, and how many of the labels that hold have said so.

        Args:
          before: only of rounds before this one.
        """
        said = {entry.question: entry.cost for entry in self._before(before) if entry.cost is not None}
        total = sum(entry.cost for entry in self._before(before) if entry.cost is not None)
        return total, len(said.keys() & self.learnt(before).keys())

    def taken(self, kinds: Collection[str] = KINDS) -> set[int]:
        """The examples that must not be asked for again: labelled, unlabelable, or waiting.

        Args:
          kinds: of the questions that count; what cannot be labelled cannot be, whatever is asked.
        """
        never = {question for question, (event, _) in self._state.answers.items() if event == UNLABELABLE}
        return {question.id for question in self._state.taken() if question.kind in kinds or question in never}

    def files(self) -> dict[int, File | None]:
        """By id, the file of everything that was asked; None where the ledger does not say."""
        found: dict[int, File | None] = {}
        for entry in self.entries:
            if entry.path:
                found[entry.id] = File(entry.path, entry.bytes, entry.digest)
            else:
                found.setdefault(entry.id, None)
        return found

    def _before(self, round_: int | None) -> Iterator[Entry]:
        return (entry for entry in self.entries if round_ is None or entry.round < round_)

    def _said(self, round_: int, event: str, a: Answer, who: str, when: str) -> Entry:
        """The entry for an answer, or for a correction to it."""
        instead = a.event if event == CORRECTED and a.event != LABELLED else ""
        answer, item = self._json(a.id, a.answer), self._json(a.id, a.item)
        said = {"seconds": a.seconds, "instead": instead, "item": item, "kind": a.kind, "cost": a.cost}
        return Entry(round_, int(a.id), event, None, answer, a.who or who, when, **said)

    def _json(self, id_: int, value: Any) -> Any:
        """A value as it is read again."""
        try:
            return json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.path}: example {id_}: {value!r} cannot be written as JSON ({error})") from error

    def _append(self, entries: Sequence[Entry]) -> None:
        """One write, and on the disk before anything else happens; nothing where an entry cannot follow."""
        if not entries:
            return
        state = self._state.copy()
        try:
            for entry in entries:
                state.add(entry_of(entry.as_json()))  # as it will be read
        except ValueError as error:
            raise UserError(f"{self.path}: {error}") from error
        entries = [dataclasses.replace(entry, size=len(entries)) for entry in entries]
        chain = self._chain.copy()
        lines = b"" if chain.lines else chain.write({"identity": self.identity, "format": FORMAT})
        lines += b"".join(chain.write(entry.as_json()) for entry in entries)
        if jax.process_index() == 0:  # all processes note the same, one writes
            self._write(lines)
        self._state, self._chain, self._cut = state, chain, b""
        self.entries.extend(entries)

    def _write(self, lines: bytes) -> None:
        with storage(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            size = self.path.stat().st_size if self.path.exists() else 0
            if size != self._chain.size + len(self._cut):
                raise UserError(
                    f"{self.path} has changed since it was read: another process writes to it; nothing was noted here"
                )
            self._keep_cut()
            with self.path.open("ab", buffering=0) as file:
                try:
                    while lines:  # a disk that gets full takes a part
                        lines = lines[file.write(lines) :]
                    os.fsync(file.fileno())
                except OSError:
                    with contextlib.suppress(OSError):  # what is left of it would be cut off when it is read again
                        file.truncate(self._chain.size)
                    raise

    def _keep_cut(self) -> None:
        """Moves what belongs to no whole batch from the file's end to a file beside it."""
        if not self._cut:
            return
        number = 1
        while (kept := self.path.with_name(f"{self.path.name}.cut-{number}")).exists():
            if kept.read_bytes() == self._cut:  # moved by a process that was then killed
                break
            number += 1
        else:
            write_whole(kept, lambda file: file.write(self._cut))
        with self.path.open("r+b") as file:
            file.truncate(self._chain.size)
        _log.warning(
            "%s: its last write was cut short; %d bytes are taken off its end and kept in %s",
            *(self.path, len(self._cut), kept),
        )

    def _read(self) -> None:
        with storage(self.path):
            data = self.path.read_bytes() if self.path.exists() else b""
        *lines, tail = data.split(b"\n")  # what follows the last newline was cut short
        if lines:
            self._read_header(lines[0])
        batch: list[Entry] = []
        chain, state = self._chain.copy(), self._state.copy()
        for number, line in enumerate(lines[1:], start=2):
            try:
                entry = entry_of(chain.read(line))
                if batch and (entry.round, entry.when, entry.size) != (batch[0].round, batch[0].when, batch[0].size):
                    raise ValueError(f"it is not of the {batch[0].size} that were written with line {number - 1}")
                if not batch and entry.event == ASKED and state.waiting:
                    raise ValueError(f"{len(state.waiting)} examples of round {state.round} had no answer yet")
                state.add(entry)
            except ValueError as error:
                raise self._damaged(number, error) from error
            batch.append(entry)
            if len(batch) == entry.size:
                self.entries += batch
                self._chain, self._state, batch = chain.copy(), state.copy(), []
        for length in range(1, len(tail)):
            if tail[length - 1 : length] == b"}" and chain.fits(tail[:length]):
                raise self._damaged(chain.lines + 1, "something else stands in the place of its end")
        self._cut = data[self._chain.size :]

    def _read_header(self, line: bytes) -> None:
        try:
            header = self._chain.read(line)
            version = header.pop("format", 1)
            if set(header) != {"identity"} or not isinstance(header["identity"], dict):
                raise ValueError("it does not say which loop this is")
            if version != (FORMAT if self._chain.checked else 1):
                raise ValueError(f"its format {version!r} is not known here")
        except ValueError as error:
            raise self._damaged(1, error) from error
        found = header["identity"]
        if self._identity is None:
            self._identity = found
        if found != self._identity:
            changed = [k for k in {*found, *self._identity} if found.get(k) != self._identity.get(k)]
            raise UserError(
                f"{self.path} is the ledger of another loop ({', '.join(sorted(changed))} differ): "
                "give another --workdir"
            )

    def _damaged(self, number: int, why: object) -> UserError:
        return UserError(f"{self.path}: line {number} is damaged ({why}): {_WHAT_TO_DO}")


def _of_file(file: File | None) -> dict[str, Any]:
    return {} if file is None else file._asdict()
