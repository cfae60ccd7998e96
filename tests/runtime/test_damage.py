"""A bit that flips on the disk: every reader of a checkpoint notices it, in one line, or it is harmless."""

import json
import logging
import pathlib
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_checkpoints import assert_equal, files, restore, save, state_at

from effjax.errors import UserError
from effjax.runtime import checkpoints as stored
from effjax.runtime.checkpoints import DamagedCheckpoint
from effjax.runtime.digests import holds, is_intact, sealed, tree_sha256


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory):
    directory = tmp_path_factory.mktemp("two")
    save(directory, 3, 6, values={3: 0.5, 6: 0.7}, width=512)
    return directory


def flip(path: pathlib.Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def largest(folder: pathlib.Path) -> pathlib.Path:
    """Where the arrays lie."""
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("part", ["model", "training"])
def test_numbers_that_have_changed_are_noticed(two_checkpoints, tmp_path, caplog, part):
    copy = tmp_path / "copy"
    shutil.copytree(two_checkpoints, copy)
    path = largest(copy / "6" / part)
    flip(path, path.stat().st_size // 2)  # among floats that do not compress: nobody but a hash sees it
    read = stored.read_records if part == "training" else stored.read_variables
    with pytest.raises(
        DamagedCheckpoint, match=rf"copy/6/{part} is damaged .*: remove the folder .*copy/6 and"
    ) as error:
        read(copy, 6)
    assert "\n" not in str(error.value)
    with caplog.at_level(logging.WARNING, logger="effjax"):
        restored = restore(copy, width=512)
    assert restored.step == 3
    assert_equal(restored.state, state_at(3, width=512))
    assert [f"checkpoint 6 in {copy} is damaged and left out: {part}: " in line for line in caplog.messages] == [True]
    assert stored.steps(copy) == [3]


def test_notes_that_have_changed_are_noticed(two_checkpoints, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(two_checkpoints, copy)
    path = copy / "6" / "meta" / "metadata"
    text = path.read_text()
    path.write_text(text.replace('"step": 6', '"step": 3'))  # what is best
    assert path.read_text() != text
    for read in (stored.read_meta, stored.read_variables):
        with pytest.raises(DamagedCheckpoint, match="copy/6/meta is damaged"):
            read(copy, 6)
    with pytest.raises(DamagedCheckpoint, match="copy/6/meta is damaged"):
        stored.best_step(copy)
    assert restore(copy, width=512).step == 3


def test_any_bit_of_any_file(two_checkpoints, tmp_path, capfd):
    draw, noticed, said = random.Random(0), 0, []
    for name in files(two_checkpoints / "6"):
        copy = tmp_path / "copy"
        shutil.copytree(two_checkpoints, copy)
        path = copy / "6" / name
        if size := path.stat().st_size:
            flip(path, draw.randrange(size), draw.randrange(8))
        try:
            variables = stored.read_variables(copy, 6)
            jax.tree.map(np.testing.assert_array_equal, variables, dict(state_at(6, width=512).eval_variables))
        except UserError as error:
            said.append(str(error))
        restored = restore(copy, width=512)
        noticed += restored.step == 3
        assert_equal(restored.state, state_at(restored.step, width=512))
        assert restored.meta["window"] == {"loss": [float(restored.step), 1.0]}, name
        shutil.rmtree(copy)
    assert noticed >= 4
    assert "\n" not in "".join(said)
    assert "Traceback" not in capfd.readouterr().err


def test_checkpoints_of_earlier_versions_are_read_as_before(two_checkpoints, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(two_checkpoints, copy)
    for step in ("3", "6"):
        path = copy / step / "meta" / "metadata"
        notes = json.loads(path.read_text())
        path.write_text(json.dumps({key: notes[key] for key in ("best", "window", "identity")}))
    assert_equal(restore(copy, width=512).state, state_at(6, width=512))
    assert stored.best_step(copy) == 6
    assert jax.tree.leaves(stored.read_variables(copy, 6))
    save(copy, 7, 8, 9, 10, values={6: 0.7, 7: 0.1}, width=512)
    assert stored.steps(copy) == [6, 9, 10]


@pytest.mark.parametrize("leaf", [np.float32(1), np.arange(6).reshape(2, 3), jnp.ones(3, jnp.bfloat16), np.zeros(0)])
def test_a_hash_tells_paths_types_shapes_and_numbers(leaf):
    own = tree_sha256({"a": {"b": leaf}, "empty": {}})
    assert own == tree_sha256({"a": {"b": np.array(leaf)}})
    others = [{"a": {"c": leaf}}, {"a": {"b": np.asarray(leaf)[None]}}, {"a": {"b": np.asarray(leaf, np.float16)}}]
    assert own not in [tree_sha256(other) for other in others]
    if np.size(leaf):
        assert own != tree_sha256({"a": {"b": np.asarray(leaf) * np.asarray(2, np.asarray(leaf).dtype)}})


def test_notes_are_sealed():
    notes = sealed({"best": {"step": 3, "value": 0.1 + 0.2}, "list": (1, 2)}, {"model": np.ones(3)})
    assert is_intact(json.loads(json.dumps(notes)))
    assert holds(notes, "model", np.ones(3))
    assert not holds(notes, "model", np.zeros(3))
    assert not is_intact({**notes, "best": {"step": 4, "value": 0.1 + 0.2}})
    assert not is_intact({key: value for key, value in notes.items() if key != "seal"})
    assert is_intact({"best": None})  # an earlier version's
