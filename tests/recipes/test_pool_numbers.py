"""Which number a file of a pool has: what is noted, what ledgers say, and what people were shown."""

import logging
import re
import zlib

import numpy as np
import pytest
from PIL import Image

from effjax.data.ledger import LABELLED, UNLABELABLE, Ledger
from effjax.data.pool_files import number_files
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import UserError
from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.loop import UNREADABLE
from effjax.recipes.active.pool_numbers import name_files, numbered_pool

WHEN = "2026-01-01T00:00:00Z"
SIDE = 4


@pytest.fixture
def home(tmp_path):
    (tmp_path / "pool").mkdir()
    paint(tmp_path, "b", "c", "d")
    return tmp_path


def paint(home, *names, seed=0):
    """Photos that no other is like, of the size that is decoded to."""
    for name in names:
        rng = np.random.default_rng(zlib.crc32(name.encode()) + seed)
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(home / "pool" / f"{name}.png")


def numbered(home):
    listed = UnlabelledFolder(home / "pool", image_size=SIDE, channels=3, class_names=("cat", "dog"))
    return numbered_pool(listed, home / "work", "pool")


def names(pool):
    return "".join(path.removesuffix(".png") for path in pool.paths)


def asked(home, ids, pool, run="mine", name="pool"):
    """The ledger of a loop that asks for some examples; without a pool it notes no files, as ledgers once did."""
    ledger = Ledger(LoopFolder.of(home / "work", run, 0).ledger_file, {"data": {"pool": name}})
    ledger.ask(0, ids, [None] * len(ids), WHEN, pool and pool.files(ids))
    return ledger


def shown(home, pool, turned=lambda pixels: pixels):
    """The copies that people were shown in those days."""
    for id_ in range(len(pool)):
        path = LoopFolder.of(home / "work", "mine", 0).picture(0, id_)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(turned(pool[id_]["image"])).save(path)


def forget(home):
    """The notes are lost."""
    for part in (home / "work" / "pool_files").iterdir():
        part.unlink()


def test_ledgers_of_this_pool_say_the_numbers_where_the_notes_are_lost(home):
    pool = numbered(home)
    assert names(pool) == "bcd"
    asked(home, [1], pool)
    forget(home)
    paint(home, "a")
    assert names(numbered(home)) == "acbd"


def test_ledgers_of_another_pool_say_nothing_of_this_one(home):
    asked(home, [1], numbered(home), name="other")
    forget(home)
    paint(home, "a")
    assert names(numbered(home)) == "abcd"


def test_ledgers_that_contradict_one_another_are_both_named(home):
    pool = numbered(home)
    mine = asked(home, [0, 1], pool)
    other = asked(home, [1], pool.numbered(number_files(home / "elsewhere", ["c.png", "b.png"])), run="other")
    with pytest.raises(UserError) as error:
        numbered(home)
    assert str(error.value).startswith(f"{other.path} calls b.png number 1, {mine.path} c.png: they are not of one")


def test_what_is_new_gone_or_changed_is_said(home, caplog):
    caplog.set_level(logging.INFO, "effjax")
    pool = numbered(home)
    assert not caplog.messages  # all are new
    asked(home, [0, 1, 2], pool).answer([(0, LABELLED, 1), (1, LABELLED, 0), (2, UNLABELABLE)], "ann", WHEN)
    paint(home, "a")
    paint(home, "c", seed=1)
    (home / "pool" / "b.png").unlink()
    (home / "pool" / "d.png").unlink()
    assert names(numbered(home)) == "bcdac"
    assert numbered(home).gone == {0, 1, 2}
    assert caplog.messages[:3] == [
        "pool pool: one file is new and joins it: a.png",
        "pool pool: 2 files are gone or unreadable, and not asked for: b.png, d.png; 1 of the old ones has a label, "
        "kept but not used",
        "pool pool: one file is not as it was when it was asked for, and counts as new: c.png; 1 of the old ones has a "
        "label, kept but not used",
    ]
    assert [record.levelname for record in caplog.records[:3]] == ["INFO", "WARNING", "WARNING"]


def begun_before(home, ids=(0, 2), **more):
    """A loop of the time when ledgers noted no files, and its pool."""
    pool = numbered(home)
    ledger = asked(home, list(ids), None)
    shown(home, pool, **more)
    forget(home)
    return ledger


@pytest.mark.parametrize("turns", range(8))
def test_a_ledger_without_names_is_adopted_where_copies_show_its_files(home, turns):
    """Be they turned or mirrored: what cameras note of that was not always heeded."""
    ledger = begun_before(home, turned=lambda pixels: np.rot90(pixels[:, :: 1 - turns // 4 * 2], turns))
    paint(home, "e")  # after all others: no number moves
    pool = numbered(home)
    assert names(pool) == "bcde"
    name_files(ledger, pool)
    assert [file.path for file in ledger.files().values()] == ["b.png", "d.png"]
    paint(home, "a")  # now the names are there
    forget(home)
    assert names(numbered(home)) == "badce"


def damage(copy):
    copy.write_bytes(copy.read_bytes()[:60])


def other_size(copy):
    Image.new("RGB", (SIDE, SIDE + 1)).save(copy)


@pytest.mark.parametrize("change", [damage, other_size, lambda copy: copy.unlink()])
def test_a_ledger_without_names_is_refused_where_a_copy_proves_nothing(home, change):
    ledger = begun_before(home)
    copy = LoopFolder(ledger.path.parent).picture(0, 2)
    change(copy)
    said = (
        f"example 2, shown in {copy}, is not d.png" if copy.exists() else f"{copy} is missing, by which {ledger.path}"
    )
    with pytest.raises(UserError, match=f"{re.escape(said)}.*: this ledger was begun when no names of files were"):
        numbered(home)


@pytest.mark.parametrize(
    ("gone", "new", "said"), [("", "a", "0, shown in .*, is not a.png"), ("c", "", "2, shown in .*, is not no file")]
)
def test_a_ledger_without_names_is_refused_where_numbers_have_moved(home, gone, new, said):
    begun_before(home)
    for name in gone:
        (home / "pool" / f"{name}.png").unlink()
    paint(home, *new)
    with pytest.raises(UserError, match=f"example {said}: this ledger was begun when no names"):
        numbered(home)
    assert not list((home / "work" / "pool_files").iterdir())


def test_what_nobody_was_shown_or_could_be_shown_proves_nothing(home):
    ledger = begun_before(home)
    folder = LoopFolder(ledger.path.parent)
    folder.picture(0, 2).unlink()
    ledger.answer([(2, UNLABELABLE)], UNREADABLE, WHEN)
    assert names(numbered(home)) == "bcd"
    forget(home)
    ledger.answer([(0, LABELLED, 1)], "ann", WHEN)
    ledger.ask(1, [1], [None], WHEN)  # killed before anybody was asked
    assert names(numbered(home)) == "bcd"


def test_files_of_kinds_that_were_not_listed_before_come_after_all_others(home):
    begun_before(home)
    paint(home, "a")
    (home / "pool" / "a.png").rename(home / "pool" / "a.jfif")
    assert numbered(home).paths == ["b.png", "c.png", "d.png", "a.jfif"]


def test_noted_numbers_hold_for_a_ledger_without_names_too(home):
    begun_before(home)
    number_files(home / "work" / "pool_files", ["b.png", "c.png", "d.png"])
    paint(home, "a")
    assert names(numbered(home)) == "bcda"
