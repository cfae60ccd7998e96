"""The ledger: whatever moment a write is cut at, nothing is lost, doubled or half there."""

import json

import pytest

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE, Ledger
from effjax.errors import UserError

IDENTITY, WHEN = {"data": "digits", "seed": 0}, "2026-01-01T00:00:00Z"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "loop" / "ledger.jsonl"


def filled(path):
    ledger = Ledger(path, IDENTITY)
    ledger.ask(0, [7, 3], [None, None], WHEN)
    ledger.answer([(3, LABELLED, 1), (7, LABELLED, 0)], "ann", WHEN)
    ledger.ask(1, [5, 9, 8], [0.5, 0.25, 0.125], WHEN)
    return ledger


def test_says_what_is_open_labelled_and_taken(path):
    ledger = filled(path)
    assert ledger.round == 1 and ledger.open() == [5, 9, 8]  # noqa: PT018
    ledger.answer([(9, SKIPPED, None), (5, UNLABELABLE, None)], "bob", WHEN)
    assert ledger.open() == [8]
    ledger.answer([(8, LABELLED, 2)], "bob", WHEN)
    assert ledger.labels() == {3: 1, 7: 0, 8: 2}
    assert ledger.labels(before=1) == {3: 1, 7: 0}
    assert ledger.taken() == {3, 7, 5, 8}  # what was skipped may be asked again
    ledger.ask(2, [9], [0.9], WHEN)
    again = Ledger(path, IDENTITY)
    assert again.entries == ledger.entries
    assert again.open() == [9]


def test_a_write_cut_anywhere_is_as_if_it_had_not_begun(path):
    filled(path)
    whole = path.read_bytes()
    steps = [0, 2, 4, 7]  # entries after each write
    seen = set()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        ledger = Ledger(path, IDENTITY)
        assert len(ledger.entries) in steps
        seen.add(len(ledger.entries))
        if len(ledger.entries) == 4:  # the loop goes on from there, and ends with the same file
            ledger.ask(1, [5, 9, 8], [0.5, 0.25, 0.125], WHEN)
            assert path.read_bytes() == whole
    assert seen == set(steps)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda ledger: ledger.ask(2, [11], [0.1], WHEN), "3 examples of round 1 have no answer yet"),
        (lambda ledger: ledger.answer([(4, LABELLED, 1)], "ann", WHEN), "example 4 is not waiting"),
        (lambda ledger: ledger.answer([(5, LABELLED, None)], "ann", WHEN), "answer 'labelled' with label None"),
        (lambda ledger: ledger.answer([(5, "maybe", None)], "ann", WHEN), "answer 'maybe'"),
        (lambda ledger: ledger.answer([(5, SKIPPED, None)] * 2, "ann", WHEN), "two answers for one example"),
        (lambda ledger: Ledger(ledger.path, {**IDENTITY, "seed": 1}), r"another loop \(seed differ"),
    ],
)
def test_refused_and_nothing_written(path, act, message):
    ledger = filled(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        act(ledger)
    assert path.read_bytes() == before
    assert Ledger(path, IDENTITY).open() == [5, 9, 8]


def test_never_asked_twice(path):
    ledger = filled(path)
    ledger.answer([(5, LABELLED, 1), (9, SKIPPED, None), (8, UNLABELABLE, None)], "ann", WHEN)
    for ids in ([5], [8], [3], [11, 11]):
        with pytest.raises(UserError, match="was asked before"):
            ledger.ask(2, ids, [0.1] * len(ids), WHEN)


def test_damage_in_the_middle_is_said(path):
    filled(path)
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2][:-4] + "\n"
    path.write_text("".join(lines))
    with pytest.raises(UserError, match="line 3 is damaged"):
        Ledger(path, IDENTITY)
    assert json.loads(lines[0])["identity"] == IDENTITY
