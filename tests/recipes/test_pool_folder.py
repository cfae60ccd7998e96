"""A pool that is a folder changes while its loop goes on: no label moves to another image."""

import json
import shutil
import unicodedata

import pytest
from small_pools import (
    all_right,
    as_it_was_before,
    asks,
    class_of,
    fill,
    ledger_of,
    loop_folder,
    make_photos,
    paint,
    pool_config,
    table_of,
)

from effjax.errors import UserError
from effjax.recipes.active import experiment as active
from effjax.recipes.active.folder import LoopFolder


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Four labels are written down and not yet taken over."""
    home = tmp_path_factory.mktemp("begun")
    make_photos(home)
    first = asks(pool_config(home), home)
    fill(table_of(home, 0), class_of)
    return home, first


@pytest.fixture
def again(begun, caplog):
    """The loop itself, put back when the test is over."""
    caplog.set_level("INFO", "effjax")
    home, _ = begun
    kept = home.parent / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(home, kept)
    yield home
    shutil.rmtree(home)
    shutil.copytree(kept, home)


def trained_on(home, round_):
    return json.loads((loop_folder(home) / f"round_{round_:02d}" / "result.json").read_text())["labels"]


def test_the_questions_are_those_of_the_sorted_listing(begun):
    home, first = begun
    paths = sorted(str(path.relative_to(home / "pool")) for path in (home / "pool").rglob("*.png"))
    ledger = ledger_of(home)
    assert [paths[id_] for id_ in ledger.open()] == first
    assert all(file.bytes == (home / "pool" / file.path).stat().st_size for file in ledger.files().values())


def test_files_that_come_and_go_move_no_label(again, caplog):
    home, config = again, pool_config(again)
    first = [file.path for file in ledger_of(home).files().values()]
    paint(home / "pool" / "a_dog.png", 50)  # before all others
    paths = sorted((home / "pool").rglob("day*/*.png"))
    free = next(path for path in paths if str(path.relative_to(home / "pool")) not in first)
    free.unlink()
    second = asks(config, home)
    assert all_right(home)
    assert not set(first) & set(second)
    assert "one file is new and joins it: a_dog.png" in caplog.text
    assert f"one file is gone or unreadable, and not asked for: {free.relative_to(home / 'pool')}" in caplog.text
    assert asks(config, home) == second  # and so at every start
    asked = json.loads((loop_folder(home) / "round_01" / "queries.json").read_text())
    assert [query["path"] for query in asked] == second

    fill(table_of(home, 1), class_of)
    caplog.clear()
    (home / "pool" / first[0]).unlink()  # a labelled one
    third = asks(config, home)
    assert all_right(home)
    assert "2 files are gone or unreadable" in caplog.text
    assert "1 of the old ones has a label, kept but not used" in caplog.text
    result = json.loads((loop_folder(home) / "round_01" / "result.json").read_text())
    assert result["labels"] == 4 + 3 - 1
    fill(table_of(home, 2), class_of)
    active.main(config.to_dict(), home / "work")
    everything = [*first, *second, *third]
    assert len(set(everything)) == len(everything)
    page = (home / "work" / "report.html").read_text()
    assert second[0].rsplit("/", 1)[-1].replace("_", "_\u200b") in page


def test_a_file_with_other_contents_is_another_example(again, caplog):
    home, config = again, pool_config(again)
    asks(config, home)
    fill(table_of(home, 1), class_of)
    (changed, *_), ledger = [f.path for f in ledger_of(home).files().values()], ledger_of(home)
    id_ = next(id_ for id_, file in ledger.files().items() if file.path == changed)
    paint(home / "pool" / changed, 99)
    asks(config, home)
    assert f"one file is not as it was when it was asked for, and counts as new: {changed}; 1 of" in caplog.text
    assert ledger_of(home).labels()[id_] in (0, 1)  # kept
    assert json.loads((loop_folder(home) / "round_01" / "result.json").read_text())["labels"] == 6
    config.active.rounds = 9
    fill(table_of(home, 2), class_of)
    known = {file.path for file in ledger_of(home).files().values()}
    for path in (home / "pool").rglob("*.png"):
        if str(path.relative_to(home / "pool")) not in known:
            path.unlink()
    assert asks(config, home) == [changed]  # the only one that is left
    numbers = [id_ for id_, file in ledger_of(home).files().items() if file.path == changed]
    assert numbers == [id_, 16]


def test_a_training_that_was_interrupted_goes_on_without_what_is_gone(again, caplog):
    home, config = again, pool_config(again)
    second = asks(config, home)
    (loop_folder(home) / "round_00" / "result.json").unlink()  # killed before it was written
    labelled = [f.path for id_, f in ledger_of(home).files().items() if id_ in ledger_of(home).labels()]
    (home / "pool" / labelled[0]).unlink()
    old = loop_folder(home) / "round_00" / "other_labels"  # of an earlier one, killed as it threw them away
    shutil.copytree(loop_folder(home) / "round_00" / "checkpoints", old)
    assert asks(config, home) == second
    assert not old.exists()
    assert "the labels of round 0 are not those it was begun with: trained anew" in caplog.text
    assert json.loads((loop_folder(home) / "round_00" / "result.json").read_text())["labels"] == 3


def test_a_file_that_nobody_can_read_is_answered_for_after_a_kill_too(again):
    home, config = again, pool_config(again)
    config.active.rounds = 9
    for number in range(20):
        (home / "pool" / f"broken_{number}.jpg").write_bytes(b"no image")
    second = asks(config, home)
    whole = [entry for entry in ledger_of(home).entries if entry.round == 1]
    assert "unreadable file" in [entry.who for entry in whole]
    path = loop_folder(home) / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: 1 + 4 + 4 + 3]))  # killed when it had asked
    shutil.rmtree(loop_folder(home) / "queries" / "round_01", ignore_errors=True)
    assert asks(config, home) == second
    again = [entry for entry in ledger_of(home).entries if entry.round == 1]
    assert [(e.id, e.event, e.who) for e in again] == [(e.id, e.event, e.who) for e in whole]


def test_the_old_contents_have_their_label_again_when_they_are_back(again):
    home, config = again, pool_config(again)
    asks(config, home)
    fill(table_of(home, 1), class_of)
    path = home / "pool" / next(iter(ledger_of(home).files().values())).path
    kept = path.read_bytes()
    paint(path, 99)
    asks(config, home)
    assert trained_on(home, 1) == 6
    path.write_bytes(kept)
    fill(table_of(home, 2), class_of)
    active.main(config.to_dict(), home / "work")
    assert trained_on(home, 2) == 4 + 3 + 3


def test_one_that_cannot_be_read_for_a_while_keeps_its_number(again):
    home, config = again, pool_config(again)
    asks(config, home)
    fill(table_of(home, 1), class_of)
    path = home / "pool" / next(iter(ledger_of(home).files().values())).path
    kept = path.read_bytes()
    path.unlink()
    path.symlink_to(path)  # whoever opens it gets an error, root too
    asks(config, home)
    assert trained_on(home, 1) == 6
    path.unlink()
    path.write_bytes(kept)
    fill(table_of(home, 2), class_of)
    active.main(config.to_dict(), home / "work")
    assert trained_on(home, 2) == 4 + 3 + 3
    assert len(list((home / "work" / "pool_files").iterdir())) == 1


def test_names_may_be_spelt_otherwise_on_another_system(again):
    home, config = again, pool_config(again)
    for name in ("a", "b"):
        paint(home / "pool" / f"dog_caf\u00e9_{name}.png", 60 + ord(name))
    second = asks(config, home)
    numbers = (home / "work" / "pool_files" / "part_0001.json").read_bytes()
    for path in (home / "pool").glob("*.png"):
        path.rename(path.with_name(unicodedata.normalize("NFD", path.name)))
    assert asks(config, home) == second
    assert (home / "work" / "pool_files" / "part_0001.json").read_bytes() == numbers
    assert not (home / "work" / "pool_files" / "part_0002.json").exists()


def test_what_a_loop_writes_into_its_pool_is_not_asked_for(again):
    home, config = again, pool_config(again)
    (home / "work").rename(home / "pool" / "work")
    with pytest.raises(active.Waiting):
        active.main(config.to_dict(), home / "pool" / "work")
    shutil.copytree(home / "pool" / "work", home / "work")
    assert len(json.loads((home / "work" / "pool_files" / "part_0000.json").read_text())["paths"]) == 16
    assert [path.name for path in (home / "work" / "pool_files").iterdir()] == ["part_0000.json"]
    with pytest.raises(UserError, match="this is where results are written to, images among them: name another"):
        active.main(config.to_dict(), home / "pool")


def test_one_that_waits_for_its_label_may_go(again):
    home, config = again, pool_config(again)
    path = home / "pool" / next(iter(ledger_of(home).files().values())).path
    kept = path.read_bytes()
    path.unlink()
    asks(config, home)
    ledger = ledger_of(home)
    assert [entry.who for entry in ledger.entries if entry.event == "skipped"] == ["no file"]
    path.write_bytes(kept)  # it is back: with the label that had been written for it
    asks(config, home)
    assert all_right(home)


def test_the_ledger_alone_is_enough(again):
    home, config = again, pool_config(again)
    second = asks(config, home)
    shutil.rmtree(home / "work" / "pool_files")
    paint(home / "pool" / "a_dog.png", 50)
    assert asks(config, home) == second
    fill(table_of(home, 1), class_of)
    asks(config, home)
    assert all_right(home)


def test_a_ledger_of_before_is_adopted_where_nothing_has_moved(again):
    home, config = again, pool_config(again)
    asks(config, home)
    before = [(e.id, e.event, e.answer) for e in ledger_of(home).entries]
    as_it_was_before(home)
    paint(home / "pool" / "zz_dog.png", 50)  # after all others: no number moves
    second = asks(config, home)
    ledger = ledger_of(home)
    assert [(e.id, e.event, e.answer) for e in ledger.entries][: len(before)] == before
    assert all(file is not None for file in ledger.files().values())
    assert all_right(home)
    paint(home / "pool" / "a_dog.png", 51)  # now the names are there
    assert asks(config, home) == second


@pytest.mark.parametrize("change", ["added", "removed", "exchanged", "no copies"])
def test_a_ledger_of_before_is_refused_where_something_may_have_moved(again, change):
    home, config = again, pool_config(again)
    asks(config, home)
    as_it_was_before(home)
    ledger = (loop_folder(home) / "ledger.jsonl").read_bytes()
    pool = sorted((home / "pool").rglob("*.png"))
    if change == "added":
        paint(home / "pool" / "a_dog.png", 50)
    elif change == "removed":
        pool[0].unlink()
    elif change == "exchanged":
        asked = LoopFolder(loop_folder(home)).ledger().asked_in(0)
        shutil.copy(pool[asked[0]], pool[asked[1]])
    else:
        shutil.rmtree(loop_folder(home) / "queries" / "round_00")
    with pytest.raises(UserError, match="Make the pool what it was when the loop began and run the same command once"):
        active.main(config.to_dict(), home / "work")
    assert (loop_folder(home) / "ledger.jsonl").read_bytes() == ledger
    assert not list((home / "work" / "pool_files").iterdir())


@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_a_folder_with_labels_that_changes_is_refused(tmp_path, change):
    make_photos(tmp_path)
    for number in range(6):
        for name in ("cat", "dog"):
            paint(tmp_path / "photos" / "train" / name / f"{name}_{number}.png", 70 + number)
    config = pool_config(tmp_path)
    config.data.pool, config.active.oracle, config.active.rounds = "", "dataset", 1
    active.main(config.to_dict(), tmp_path / "work")
    ledger = ledger_of(tmp_path)
    path = tmp_path / "photos" / ledger.files()[ledger.asked_in(0)[0]].path
    config.active.rounds = 2
    if change == "added":
        paint(path.with_name("a_" + path.name), 99)
    elif change == "removed":
        path.unlink()
    else:
        paint(path, 99)
    with pytest.raises(UserError, match=r"was train/.*png when it was asked for, and this file is no longer there, or"):
        active.main(config.to_dict(), tmp_path / "work")
    assert ledger_of(tmp_path).entries == ledger.entries
