"""The numbers of a pool's files: once given, for ever."""

import json
import multiprocessing
import random

import pytest

from effjax.data.pool_files import number_files
from effjax.errors import UserError


def test_what_has_a_number_keeps_it(tmp_path):
    folder = tmp_path / "pool_files"
    assert number_files(folder, ["b", "d"]) == (["b", "d"], [2], frozenset())
    assert number_files(folder, ["a", "b", "c", "d"]) == (["b", "d", "a", "c"], [2, 2], frozenset())
    assert number_files(folder, ["a", "b"]) == (["b", "d", "a", "c"], [2, 2], {1, 3})
    assert number_files(folder, ["a", "b", "d"]).gone == {3}  # one is back
    changed = number_files(folder, ["a", "b", "d"], {0: "b", 2: "a"}, changed=[2])
    assert changed == (["b", "d", "a", "c", "a"], [2, 2, 1], {2, 3})
    assert number_files(folder, ["a", "b", "d"], {0: "b", 2: "a"}, changed=[2]) == changed
    assert number_files(folder, ["a", "b", "d"], {0: "b", 2: "a"}, same=[2]).gone == {3, 4}  # as it was
    assert number_files(folder, ["a", "b"], {0: "b", 4: "a"}, changed=[2, 4]).paths[4:] == ["a", "a"]
    assert number_files(folder, ["a", "b"], {2: "a", 4: "a"}, same=[4], changed=[2]).gone == {1, 2, 3, 5}


def test_ledgers_say_the_numbers_where_the_notes_are_lost(tmp_path):
    assert number_files(tmp_path / "1", ["a", "b", "c"], {1: "b"}).paths == ["a", "b", "c"]
    assert number_files(tmp_path / "2", ["0", "a", "b"], {1: "b"}).paths == ["0", "b", "a"]
    assert number_files(tmp_path / "3", ["a"], {3: "b", 1: "c"}) == (["a", "c", "", "b"], [4], {1, 2, 3})
    with pytest.raises(UserError, match=r"2 does not give number 1 to z, as a ledger does: put it back from a copy"):
        number_files(tmp_path / "2", ["0", "a", "b"], {1: "z"})


def test_names_of_all_kinds(tmp_path):
    listing = ["=1+1.jpg", "day 0/ü\n.jpg", "caf\udce9.jpg", '"quoted".jpg']  # one is not UTF-8
    for _ in range(2):
        assert number_files(tmp_path, listing).paths == listing


def test_damaged_notes_are_refused(tmp_path):
    number_files(tmp_path, ["a", "b"])
    number_files(tmp_path, ["a", "b", "c"])
    first = tmp_path / "part_0000.json"
    whole = first.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 7
        first.write_bytes(damaged)
        try:
            same = json.loads(bytes(damaged)) == json.loads(whole)  # such as another kind of blank
        except ValueError:
            same = False
        if not same:
            with pytest.raises(UserError, match=r"part_0000\.json is damaged"):
                number_files(tmp_path, ["a", "b"])
    first.unlink()
    with pytest.raises(UserError, match=r"part_0000\.json is missing"):
        number_files(tmp_path, ["a", "b"])


def number(folder, seed):
    listing = [str(i) for i in range(20)] + random.Random(seed).sample([str(i) for i in range(20, 40)], 10)
    return number_files(folder, sorted(listing))


def test_processes_that_look_at_once_agree(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as processes:
        found = processes.starmap(number, [(tmp_path, seed) for seed in range(12)])
    longest = max((one.paths for one in found), key=len)
    assert len(set(longest)) == len(longest)
    for one in found:
        assert longest[: len(one.paths)] == one.paths
    assert not list(tmp_path.glob(".*"))
