"""Files are whole or absent, and what is wrong with them is one line."""

import contextlib
import errno
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from effjax import files
from effjax.errors import UserError


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "a" / "x.json"
    files.write_json(path, {"a": 1})

    def fail(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"x\.json: no space left on device: make room, then run"):
        files.write_whole(path, fail)
    assert files.read_json(path) == {"a": 1}
    assert os.listdir(path.parent) == ["x.json"]


def test_sweep_removes_only_what_is_half_written(tmp_path):
    files.write_text(tmp_path / "kept.partial", "a person's")
    files.partial_of(tmp_path / "x").write_text("half")
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["kept.partial"]


def test_what_a_killed_writer_left_of_a_file_goes_with_the_next(tmp_path):
    """Not what another process is writing at present, nor of another file, nor of another host."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    kept = [
        f".x.{host}-{os.getpid()}-0a.partial",
        f".xy.{host}-{gone.pid}-0a.partial",
        f".x.{host}.b-{gone.pid}-0a.partial",
    ]
    for name in [*kept, f".x.{host}-{gone.pid}-0a.partial"]:
        (tmp_path / name).write_text("half")
    files.write_text(tmp_path / "x", "whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "x"])


def test_no_two_partial_names_are_alike(tmp_path):
    assert len({files.partial_of(tmp_path / "x") for _ in range(100)}) == 100


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b'{"a":', b"\x00" * 40])
def test_damaged_json_is_one_line(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.json is damaged .*: remove it") as caught:
        files.read_json(tmp_path / "x.json")
    assert "\n" not in str(caught.value)


def test_every_flipped_byte_of_an_archive_is_found_or_harmless(tmp_path):
    path, array = tmp_path / "x.npz", np.arange(6, dtype=np.int32)
    files.write_whole(path, lambda file: np.savez(file, a=array))
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        with contextlib.suppress(UserError):
            assert all(value.tolist() == array.tolist() for value in files.read_arrays(path).values())


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.npy: no such file or directory"):
        files.read_arrays(tmp_path / "nowhere.npy")


@pytest.mark.parametrize(
    "name", ["=HYPERLINK(1)", "+1", "-x.jpg", "@SUM(A1)", "\t=1", "'=1", "''=1", "'", "it's", "", "a=b"]
)
def test_no_cell_is_a_formula_and_each_is_read_as_it_was(name):
    cell = files.spreadsheet_safe(name)
    assert not cell.startswith(("=", "+", "-", "@", "\t"))
    assert files.spreadsheet_text(cell) == name


def test_cells_that_are_no_formula_stay_as_they_are():
    assert [files.spreadsheet_safe(name) for name in ("cat/1.jpg", "'quoted'", "5")] == ["cat/1.jpg", "'quoted'", "5"]


def test_every_flipped_bit_of_a_sealed_file_is_found(tmp_path):
    path = tmp_path / "x.json"
    files.write_sealed_json(path, {"a": (1, 2.5, None), "é": "ü"})
    assert files.read_sealed_json(path) == {"a": [1, 2.5, None], "é": "ü"}
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            with contextlib.suppress(UserError):
                assert files.read_sealed_json(path) == {"a": [1, 2.5, None], "é": "ü"}  # only space has changed
    for damaged in (b"[]", b"{}", b'"x"', b"[" * 100_000, whole[:-2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"x\.json is damaged"):
            files.read_sealed_json(path)


def test_what_cannot_be_written_is_called_by_its_own_name(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(files.StorageError, match=rf"^{tmp_path}/taken: is a directory"):
        files.write_text(tmp_path / "taken", "text")
