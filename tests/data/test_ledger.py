"""The ledger: whatever moment a write is cut at, nothing is lost, doubled or half there."""

import contextlib
import json
import pathlib
import resource
import shutil
import signal

import pytest

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE, Answer, File, Ledger, Question
from effjax.errors import UserError

GOLDENS = pathlib.Path(__file__).parent / "goldens"
IDENTITY, WHEN = {"data": "digits", "seed": 0}, "2026-01-01T00:00:00Z"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "loop" / "ledger.jsonl"


def put(path, data):
    path.unlink(missing_ok=True)  # many file systems wait for the disk where a file is written over
    path.write_bytes(data)


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
        put(path, whole[:length])
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


def read(path):
    """The labels and all else that a damaged file says, or the message that refuses it."""
    try:
        ledger = Ledger(path)
    except UserError as error:
        return str(error)
    return ledger.identity, ledger.entries


def complete(path):
    """A ledger of all kinds of lines, short enough that each of its bytes can be spoilt."""
    ledger = Ledger(path, IDENTITY)
    ledger.ask(0, [7, 3], [None, 0.5], WHEN, [File("day0/ü.jpg", 3, "ab" * 32), None])
    ledger.answer([(3, LABELLED, 1), (7, SKIPPED, None)], "ann", WHEN)
    ledger.correct([(7, LABELLED, 0, "bob", 2.5)], "ann", WHEN)
    ledger.ask(1, [5], [0.25], WHEN)
    ledger.answer([(5, UNLABELABLE, None)], "ann", WHEN)
    ledger.name({3: File("b.jpg", 9, "cd" * 32)}, WHEN)
    return ledger


def test_every_bit_that_is_flipped_is_noticed(path):
    complete(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8) if place % 29 == 0 or whole[place] in b'\n"}' else (place % 8,):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            put(path, damaged)
            number = whole[:place].count(b"\n") + 1
            said = read(path)
            assert isinstance(said, str), (place, bit)
            assert "\n" not in said
            if whole[place] != ord("\n"):
                assert f"line {number} is damaged" in said
    assert "put the file back from a copy, or begin a new loop with another --workdir" in said


def rearranged(lines):
    """Every line doubled, dropped, swapped with the next, and moved to the end; not the last, whose loss is a cut."""
    for at in range(len(lines) - 1):
        yield lines[: at + 1] + lines[at:]
        yield lines[:at] + lines[at + 1 :]
        yield [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
        yield lines[:at] + lines[at + 1 :] + [lines[at]]
    yield [*lines, lines[-1]]


def test_every_line_that_is_doubled_lost_or_moved_is_noticed(path):
    complete(path)
    lines = path.read_bytes().splitlines(keepends=True)
    for other in rearranged(lines):
        put(path, b"".join(other))
        assert "is damaged" in read(path)
        assert path.read_bytes() == b"".join(other)  # nobody has touched it


def test_what_is_cut_off_is_kept_and_said(path, caplog):
    filled(path)
    whole = path.read_bytes()
    after_answers = sum(map(len, whole.splitlines(keepends=True)[:5]))
    for number, length in enumerate((len(whole) - 9, after_answers + 20), start=1):
        put(path, whole[:length])
        ledger = Ledger(path, IDENTITY)
        assert path.read_bytes() == whole[:length]  # looking changes nothing
        ledger.ask(1, [5, 9, 8], [0.5, 0.25, 0.125], WHEN)
        assert path.read_bytes() == whole
        assert path.with_name(f"ledger.jsonl.cut-{number}").read_bytes() == whole[after_answers:length]
        said = f"{length - after_answers} bytes are taken off its end and kept in {path}.cut-{number}"
        assert said in caplog.text
    assert len(list(path.parent.iterdir())) == 3


def test_two_that_write_at_once_do_not_mix(path):
    first = filled(path)
    second = Ledger(path, IDENTITY)
    first.answer([(5, LABELLED, 1)], "ann", WHEN)
    before = path.read_bytes()
    with pytest.raises(UserError, match="has changed since it was read: another process writes to it"):
        second.answer([(9, LABELLED, 1)], "bob", WHEN)
    assert path.read_bytes() == before
    assert second.open() == [5, 9, 8]


def test_a_correction_holds_from_the_round_that_waits_on(path):
    ledger = filled(path)
    ledger.correct([(3, LABELLED, 0)], "bob", WHEN)
    assert [ledger.labels(before=round_ + 1) for round_ in (0, 1)] == [{3: 1, 7: 0}, {3: 0, 7: 0}]
    ledger.answer([(5, LABELLED, 2), (9, SKIPPED, None), (8, LABELLED, 2)], "ann", WHEN)
    ledger.correct([(5, UNLABELABLE, None), (9, LABELLED, 1)], "bob", WHEN)  # round 1 has all its answers: for the next
    assert ledger.labels(before=2) == {3: 0, 7: 0, 5: 2, 8: 2}
    assert list(ledger.labels().items()) == [(3, 0), (7, 0), (8, 2), (9, 1)]
    assert ledger.round == 1
    assert ledger.taken() == {3, 7, 5, 8, 9}
    ledger.ask(2, [11], [None], WHEN)
    again = Ledger(path, IDENTITY)
    assert again.entries == ledger.entries
    assert again.answers()[Question(5)] == (UNLABELABLE, None)
    with pytest.raises(UserError, match="example 11 has no answer yet that could be corrected"):
        again.correct([(11, LABELLED, 0)], "bob", WHEN)


OLD_ENTRIES = [
    *[(0, id_, "asked", None, None, "") for id_ in (7, 3, 12)],
    *[(0, 3, LABELLED, None, 1, "ann"), (0, 7, LABELLED, None, 0, "ann"), (0, 12, SKIPPED, None, None, "ann")],
    *[(1, id_, "asked", score, None, "") for id_, score in ((5, 0.5), (9, 0.25), (8, 0.125), (12, 1e-7))],
    (1, 9, UNLABELABLE, None, None, "unreadable file"),
    *[(1, id_, LABELLED, None, label, "bob") for id_, label in ((5, 2), (8, 0), (12, 1))],
    *[(2, 1, "asked", 0.75, None, ""), (2, 2, "asked", float("inf"), None, "")],
]


@pytest.fixture
def old(path):
    """A ledger as it was written before lines had places and checksums."""
    path.parent.mkdir()
    shutil.copy(GOLDENS / "ledger_of_format_1.jsonl", path)
    return path


def test_an_old_ledger_is_read_as_before_and_goes_on(old):
    ledger, before = Ledger(old), old.read_bytes()
    found = [(e.round, e.id, e.event, e.score, e.answer, e.who) for e in ledger.entries]
    assert found == OLD_ENTRIES
    assert list(ledger.labels().items()) == [(3, 1), (7, 0), (5, 2), (8, 0), (12, 1)]
    assert ledger.open() == [1, 2]
    ledger.answer([(1, LABELLED, 2), (2, LABELLED, 1)], "ann", WHEN)
    assert old.read_bytes().startswith(before)
    again = Ledger(old, ledger.identity)
    assert again.entries == ledger.entries
    last = json.loads(old.read_text().splitlines()[-1])
    assert last["line"] == 19
    for place in range(0, len(before), 7):  # the new lines' checksums hold the old ones too
        damaged = bytearray(old.read_bytes())
        damaged[place] ^= 1
        put(old, damaged)
        assert isinstance(read(old), str)
        damaged[place] ^= 1
        put(old, damaged)


def test_a_damaged_old_ledger_is_refused_or_read_but_never_cut_in_the_middle(old):
    whole = old.read_bytes()
    lines = whole.splitlines(keepends=True)
    refused = 0
    for other in rearranged(lines):
        put(old, b"".join(other))
        refused += isinstance(read(old), str)
        assert old.read_bytes() == b"".join(other)
    assert refused >= 49  # of 65; order within one batch, and which of its lines are there, nobody has noted
    put(old, b"".join([*lines[:5], lines[4], *lines[5:]]))
    assert "line 6 is damaged (example 3 is not waiting for an answer)" in read(old)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        put(old, damaged)
        read(old)  # a line of text, if it is refused; never a traceback
    for length in range(len(whole)):
        put(old, whole[:length])
        assert not isinstance(read(old), str)


CLASSES_OF_FORMAT_2 = {3: 0, 5: 2, 12: 1}


def test_a_ledger_of_classes_is_written_to_the_byte_as_before_there_were_other_answers(path):
    """The golden was written when a label was the only answer; the same acts give the same file, and it goes on."""
    golden = (GOLDENS / "ledger_of_format_2.jsonl").read_bytes()
    when = [f"2026-01-0{day}T00:00:00+00:00" for day in range(1, 9)]
    ledger = Ledger(path, {"seed": 0, "data": {"name": "folder:fotos", "classes": ["0", "1", "é"]}})
    files = [File("day0/ü.jpg", 3, "ab" * 32), File("b.jpg", None, "cd" * 16), None]
    ledger.ask(0, [7, 3, 12], [None] * 3, when[0], files)
    ledger.answer([Answer(3, LABELLED, 1, "bob", 2.5), (7, LABELLED, 0), (12, SKIPPED)], "ann", when[1])
    ledger.ask(1, [5, 9, 8, 12], [0.5, 0.25, 1e-07, 2], when[2])
    ledger.answer([(9, UNLABELABLE, None)], "unreadable file", when[2])
    ledger.correct([Answer(3, LABELLED, 0, "cid", 1), Answer(7, UNLABELABLE)], "ann", when[3])
    ledger.answer([(5, LABELLED, 2), (8, LABELLED, 0)], "bob", when[3])
    ledger.name({5: File("c.jpg", 9, "ef" * 32)}, when[4])
    ledger.answer([(12, LABELLED, 1)], "bob", when[4])
    ledger.correct([(8, SKIPPED)], "ann", when[5])
    ledger.ask(2, [1, 2, 8], [0.75, float("inf"), None], when[6])
    assert path.read_bytes() == golden
    put(path, golden)
    ledger = Ledger(path)
    assert ledger.labels() == CLASSES_OF_FORMAT_2
    assert (ledger.open(), ledger.costs()) == ([1, 2, 8], (0, 0))
    ledger.answer([(1, LABELLED, {"boxes": []}), (2, LABELLED, 4)], "ann", when[7])
    assert path.read_bytes().startswith(golden)
    assert Ledger(path).labels() == {**CLASSES_OF_FORMAT_2, 1: {"boxes": []}, 2: 4}


JSON_ANSWERS = [
    {"boxes": [[0.1, 0.2, 1]], "classes": ["càr"]}, "a dog, running", "", [], True, False, 0.5, -1, [[]], {"label": 3},
]  # fmt: skip


def test_an_answer_is_any_json_and_a_class_is_called_label(path):
    ledger = Ledger(path, IDENTITY)
    ids = range(len(JSON_ANSWERS))
    ledger.ask(0, [*ids, 99], [None] * (len(ids) + 1), WHEN)
    ledger.answer([*((i, LABELLED, answer) for i, answer in enumerate(JSON_ANSWERS)), (99, LABELLED, 7)], "ann", WHEN)
    ledger.correct([(1, LABELLED, "a cat"), (3, SKIPPED)], "ann", WHEN)
    expected = {i: answer for i, answer in enumerate(JSON_ANSWERS) if i != 3} | {1: "a cat", 99: 7}
    again = Ledger(path)
    assert json.dumps(again.labels()) == json.dumps(ledger.labels()) == json.dumps(expected)
    lines = [json.loads(line) for line in path.read_text().splitlines()[-len(ids) - 3 :]]
    assert [line["answer"] for line in lines[: len(ids)]] == JSON_ANSWERS
    last = [{key: line.get(key) for key in ("label", "answer", "instead")} for line in lines[len(ids) :]]
    assert last == [
        {"label": 7, "answer": None, "instead": None},
        {"label": None, "answer": "a cat", "instead": None},
        {"label": None, "answer": None, "instead": SKIPPED},
    ]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(5, LABELLED, {1, 2}), r"example 5: \{1, 2\} cannot be written as JSON"),
        (Answer(5, LABELLED, [float("nan")]), r"example 5: \[nan\] cannot be written as JSON"),
        (Answer(5, LABELLED, 1, cost=-1.0), "cost=-1.0 cannot be"),
        (Answer(5, LABELLED, 1, kind="guess"), "kind='guess' cannot be"),
        (Answer(5, LABELLED, 1, item={"box": 0}), r'example 5, tag \{"box": 0\} is not waiting'),
        (Answer(5, LABELLED, 1, kind="verify"), "example 5, verify is not waiting"),
    ],
)
def test_answers_that_cannot_be_are_refused(path, answer, message):
    ledger = filled(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        ledger.answer([answer], "ann", WHEN)
    assert path.read_bytes() == before


def test_parts_of_an_example_are_asked_about_one_by_one(path):
    ledger = Ledger(path, IDENTITY)
    left, right = {"box": [0, 0, 0.5, 1]}, {"box": [0.5, 0, 1, 1]}
    ledger.ask(0, [4, 4, 6], [0.5, 0.25, 0.125], WHEN, items=[left, right, None], kind="verify")
    assert ledger.open() == [4, 6]
    assert ledger.waiting() == [
        Question.of(4, left, "verify"),
        Question.of(4, right, "verify"),
        Question.of(6, None, "verify"),
    ]
    yes = Answer(4, LABELLED, True, item=right, kind="verify", cost=1.5)
    ledger.answer([yes, Answer(6, LABELLED, False, kind="verify", cost=2)], "ann", WHEN)
    ledger.answer([Answer(4, SKIPPED, item=left, kind="verify", cost=0.5)], "ann", WHEN)
    ledger.correct([yes._replace(answer=False)], "bob", WHEN)
    ledger.ask(1, [4], [1.0], WHEN, items=[right], kind="correct")  # another question about the same box
    again = Ledger(path)
    assert again.entries == ledger.entries
    assert again.learnt() == {yes.question: False, Question.of(6, None, "verify"): False}
    assert again.labels() == {6: False}  # of whole examples
    assert again.answers()[Question.of(4, left, "verify")] == (SKIPPED, None)
    assert again.taken() == {4, 6}
    assert again.costs(before=1) == (4.0, 2)
    assert again.costs() == (5.5, 2)  # the correction took as long again
    again.answer([Answer(4, LABELLED, [0, 0, 1, 1], item=right, kind="correct")], "ann", WHEN)
    with pytest.raises(UserError, match=r'example 4, verify \{"box": \[0.5, 0, 1, 1\]\} was asked before'):
        again.ask(2, [4], [1.0], WHEN, items=[right], kind="verify")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"round": 0, "id": 1, "event": "labelled", "answer": 3}, "answer=3 cannot be"),
        ({"round": 0, "id": 1, "event": "labelled", "answer": None}, "answer=None cannot be"),
        ({"round": 0, "id": 1, "event": "labelled", "answer": [3], "label": 3}, "it has two answers"),
        ({"round": 0, "id": 1, "event": "asked", "size": 0}, "size=0 cannot be"),
        ({"round": 0, "id": 1, "event": "asked", "size": True}, "size=True cannot be"),
        ({"round": "0", "id": 1, "event": "asked"}, "round='0' cannot be"),
        ({"round": 0, "id": 1}, "'event' is missing"),
        ({"round": 0, "id": 1, "event": "asked", "labl": 1}, "'labl' is no part of an entry"),
        ({"round": 0, "id": 1, "event": "labelled", "label": 1}, "example 1 is not waiting"),
        ([1], "it is no JSON object"),
    ],
)
def test_lines_that_cannot_be_are_refused(path, line, message):
    path.parent.mkdir()
    path.write_text(json.dumps({"identity": IDENTITY}) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(UserError, match=f"line 2 is damaged .{message}"):
        Ledger(path, IDENTITY)


@pytest.mark.parametrize("header", ["", "{}", "[]", "null", '{"identity": 3}', '{"identity": {}, "format": 3}', "\x00"])
def test_a_first_line_that_is_none_is_refused(path, header):
    path.parent.mkdir()
    path.write_text(header + "\n")
    with pytest.raises(UserError, match="line 1 is damaged"):
        Ledger(path, IDENTITY)


def test_a_disk_that_is_full_leaves_the_ledger_whole(path):
    ledger = filled(path)
    before = path.read_bytes()
    with limited_files(len(before) + 40), pytest.raises(UserError, match=r"ledger.jsonl: file too large: .*ulimit -f"):
        ledger.answer([(5, LABELLED, 1)], "ann", WHEN)
    assert path.read_bytes() == before
    ledger.answer([(5, LABELLED, 1)], "ann", WHEN)
    assert Ledger(path, IDENTITY).entries == ledger.entries


@contextlib.contextmanager
def limited_files(size):
    """No file may become larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
