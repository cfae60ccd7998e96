"""Of the record of bits: that it covers what there is, and that it says what differs."""

import re

import pytest
from processes import REPOSITORY

from tests.same_bits.experiments import FULL, experiments
from tests.same_bits.record import compare

MACHINE = {"hardware": "1 × cpu", "versions": "jax 1"}


def test_every_config_with_a_tiny_variant_is_run():
    variants = {
        f"{path.parent.name}/{path.stem}:tiny"
        for path in REPOSITORY.glob("configs/*/*.py")
        if re.search(r"variant ``tiny``", path.read_text(), re.IGNORECASE)
        or "check_variant(variant, " in path.read_text()
    }
    away = ("curriculum/efficienttrain_imagenet", "active/vqa2", "detection/coco", "detection/voc")
    away += ("distill/cifar100", "distill/imagenet")
    variants -= {f"{name}:tiny" for name in away}  # need data that is not here
    assert len(variants) == 32
    assert variants | set(FULL) <= set(experiments(REPOSITORY))


def record(**experiments):
    return {**MACHINE, "experiments": experiments}


def test_each_difference_is_named(capsys):
    before = record(one={"a": "1", "b": "2", "c": "3"}, two={"a": "1"}, three={"a": "1"})
    assert compare(before, record(one={"a": "1", "b": "2", "c": "3"}), before["experiments"])
    assert capsys.readouterr().out == "the same bits: 1 experiments, 3 files\n"
    after = record(one={"a": "1", "b": "9", "d": "3"}, two={"a": "1"})
    assert not compare(before, after, {"one", "two"})
    lines = ["three cannot be run any more", "one: b differs", "one: c is missing", "one: d is new"]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(("key", "value"), [("cores", 1), ("snapshot", "another")])
def test_other_cores_or_hashes_cannot_be_compared_with(key, value, capsys):
    now = {**record(one={"a": "1"}), "cores": 2, "snapshot": "this"}
    assert compare(now, now, now["experiments"])
    assert not compare({**now, key: value}, now, now["experiments"])
    assert f"not comparable: {key}: {value} before, " in capsys.readouterr().out
    assert not compare(record(one={"a": "1"}), now, now["experiments"])  # of before these were noted


def test_another_machine_cannot_be_compared_with(capsys):
    before = record(one={"a": "1"})
    assert not compare(before, {**before, "versions": "jax 2"}, {"one"})
    assert capsys.readouterr().out == "not comparable: versions: jax 1 before, jax 2 after\n"
