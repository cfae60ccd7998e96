"""What people do with their tables: leave some blank, skip everything, think better of it."""

import json
import shutil

import numpy as np
import pytest
from conftest import ArraySource
from small_pools import CLASSES, asks, class_of, fill, ledger_of, loop_folder, make_photos, pool_config, table_of

from effjax.data.base import Subset
from effjax.data.ledger import Ledger
from effjax.errors import UserError
from effjax.recipes.active import experiment as active
from effjax.recipes.active.checks import check_ledger
from effjax.tasks.answers import ClassAnswers


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Four images have been asked for."""
    home = tmp_path_factory.mktemp("begun")
    make_photos(home)
    return home, asks(pool_config(home), home)


@pytest.fixture
def home(begun):
    """The loop itself, put back when the test is over."""
    home, _ = begun
    kept = home.parent / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(home, kept)
    yield home
    shutil.rmtree(home)
    shutil.copytree(kept, home)


def trained_on(home, round_):
    return json.loads((loop_folder(home) / f"round_{round_:02d}" / "result.json").read_text())["labels"]


def other(row):
    return CLASSES[1 - CLASSES.index(class_of(row))]


def test_what_is_blank_stays_open(home):
    config = pool_config(home)
    rows = fill(table_of(home, 0), lambda row: "")
    blank = {rows[1]["id"], rows[3]["id"]}
    fill(table_of(home, 0), lambda row: "" if row["id"] in blank else class_of(row).upper())
    with pytest.raises(active.Waiting, match=r"round 0: 2 answers are taken over, 2 are still to come: write a class"):
        active.main(config.to_dict(), home / "work")
    assert {str(id_) for id_ in ledger_of(home).open()} == blank
    assert len(ledger_of(home).labels()) == 2
    asks(config, home)  # nothing new: nothing happens
    assert {str(id_) for id_ in ledger_of(home).open()} == blank
    fill(table_of(home, 0), class_of)
    asks(config, home)
    assert trained_on(home, 0) == 4
    assert not [entry for entry in ledger_of(home).entries if entry.event == "corrected"]


def test_an_earlier_label_that_is_edited_is_a_correction(home):
    config = pool_config(home)
    rows = fill(table_of(home, 0), other)
    second = asks(config, home)
    fill(
        table_of(home, 0), lambda row: "unlabelable" if row is rows[0] or row["id"] == rows[0]["id"] else class_of(row)
    )
    assert asks(config, home) == second
    ledger = ledger_of(home)
    corrections = [entry for entry in ledger.entries if entry.event == "corrected"]
    assert [(entry.round, entry.instead) for entry in corrections] == [(1, "unlabelable"), (1, ""), (1, ""), (1, "")]
    assert len(ledger.labels(before=1)) == 4
    assert [CLASSES[label] for label in ledger.labels().values()] == [class_of(row) for row in rows[1:]]
    fill(table_of(home, 1), class_of)
    asks(config, home)
    assert trained_on(home, 1) == 3 + 3
    assert len([e for e in ledger_of(home).entries if e.event == "corrected"]) == 4  # once is enough
    fill(table_of(home, 2), class_of)
    active.main(config.to_dict(), home / "work")
    fill(table_of(home, 2), other)  # all is over: for the next round, should there be one
    active.main(config.to_dict(), home / "work")
    assert {e.round for e in ledger_of(home).entries if e.event == "corrected"} == {1, 3}
    config.active.rounds = 4
    asks(config, home)
    assert "(corrected)" in (home / "work" / "report.html").read_text()


def test_a_table_of_before_that_cannot_be_read_is_said(home):
    config = pool_config(home)
    fill(table_of(home, 0), class_of)
    asks(config, home)
    before = (loop_folder(home) / "ledger.jsonl").read_bytes()
    fill(table_of(home, 0), lambda row: "catt")
    with pytest.raises(UserError, match=r"round_00/labels.csv: nothing was taken over; line 2: id \d+: 'catt' is no"):
        active.main(config.to_dict(), home / "work")
    assert (loop_folder(home) / "ledger.jsonl").read_bytes() == before
    table_of(home, 0).unlink()  # it has done its work
    asks(config, home)


def test_a_round_in_which_everything_was_skipped_is_followed_by_another(home):
    config = pool_config(home)
    asked = [set(asks(config, home))]
    for round_ in range(2):  # nothing has a label yet
        fill(table_of(home, round_), lambda row: "skip")
        asked.append(set(asks(config, home)))
        assert len(asked[-1]) == 4
        assert not asked[-1] & asked[-2]
    fill(table_of(home, 2), class_of)
    asks(config, home)
    assert trained_on(home, 2) == 4
    fill(table_of(home, 3), lambda row: "skip")
    asks(config, home)
    assert trained_on(home, 3) == 4
    for round_ in (4, 5):
        fill(table_of(home, round_), class_of)
        if round_ == 4:
            asks(config, home)
    summary = active.main(config.to_dict(), home / "work")  # three rounds of six have brought labels
    rounds = summary["mine"]["seeds"][0]["rounds"]
    assert [(one["round"], one["labels"]) for one in rounds] == [(2, 4), (3, 4), (4, 7), (5, 10)]
    assert np.isfinite([one["test/accuracy"] for one in rounds]).all()


def test_what_was_asked_again_is_corrected_there(home):
    config = pool_config(home)
    config.active.rounds = 9
    first = fill(table_of(home, 0), lambda row: "skip")
    for round_ in range(9):
        asks(config, home)
        again = {str(id_) for id_ in ledger_of(home).open()} & {row["id"] for row in first}
        if again:
            break
        fill(table_of(home, round_ + 1), class_of)
    fill(table_of(home, 0), lambda row: class_of(row) if row["id"] in again else "skip")
    with pytest.raises(
        UserError, match=rf"was skipped in round 0 and asked again in round {round_ + 1}: correct it there"
    ):
        active.main(config.to_dict(), home / "work")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"label": 1', '"label": 7', r"example \d+: label 7 is none of the 2 classes: the file is damaged"),
        (
            '"id": 0,',
            '"id": 400,',
            "pool_files does not give number 400 to day0/cat_0.png, as a ledger does: put it back",
        ),
    ],
)
def test_a_ledger_without_checksums_that_speaks_of_what_is_not_there(home, old, new, message):
    config = pool_config(home)
    fill(table_of(home, 0), class_of)
    asks(config, home)
    path = loop_folder(home) / "ledger.jsonl"
    known = ("round", "id", "event", "score", "label", "who", "when", "size", "path", "bytes", "digest")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    plain = [json.dumps({key: line[key] for key in ("identity", *known) if key in line}) for line in lines]
    assert any(old in line for line in plain)
    path.write_text("".join(line.replace(old, new) + "\n" for line in plain))
    with pytest.raises(UserError, match=message):
        active.main(config.to_dict(), home / "work")


def test_a_ledger_of_other_data(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    ledger.ask(0, [3, 12], [None, None], "")
    check_ledger(ledger, ArraySource(20), {"tag": ClassAnswers(("even", "odd"))})
    with pytest.raises(
        UserError, match="example 12: it is not in memory/train: the file is damaged, or the data are not"
    ):
        check_ledger(ledger, Subset(ArraySource(20), [1, 3, 5]), {"tag": ClassAnswers(("even", "odd"))})
