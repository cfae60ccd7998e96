"""What makes a run the run that it is, and what its parameters are called."""

import hashlib

import jax
import numpy as np
import pytest

from effjax.data.base import DatasetInfo, labelled_images
from effjax.recipes import schema
from effjax.recipes.build.hashes import params_sha256
from effjax.recipes.build.identity import data_facts, identity

INFO = DatasetInfo("digits", "train", 9, ("zero", "one"), labelled_images((28, 28, 1)))


def of(change=lambda config: None):
    config = schema.experiment()
    config.runs.mine = schema.run(model={"name": "mlp", "widths": (4,)}, steps=7)
    change(config)
    plain = config.to_dict()
    return identity(plain, plain["runs"]["mine"], INFO, 3, stages=[{"start": 0, "stop": 7}])


def test_a_run_of_defaults_says_what_it_needs_to_be_opened_and_no_more():
    assert of() == {
        "seed": 3,
        "run": {"model": {"name": "mlp", "widths": [4]}, "steps": 7},
        "stages": [{"start": 0, "stop": 7}],
        "data": {"name": "digits", "train": "train", "validation": "validation", "image_size": 0, "classes": []},
        "view": {"mean": [0.0], "std": [1.0]},
        "eval_batch_size": schema.experiment().eval_batch_size,
        "num_classes": 2,
        "class_names": ["zero", "one"],
    }


CHANGES = {
    "task": (lambda config: config.update(task="detection"), {"task": "detection"}),
    "eval_batch_size": (lambda config: config.update(eval_batch_size=3), {"eval_batch_size": 3}),
    "view": (lambda config: config.view.update(flip=True), {"view": {"mean": [0.0], "std": [1.0], "flip": True}}),
    "nothing": (lambda config: config.runs.mine.update(keep=9, label="mine"), {}),
}


@pytest.mark.parametrize("key", CHANGES)
def test_what_a_config_says_besides_is_part_of_it(key):
    change, said = CHANGES[key]
    assert of(change) == {**of(), **said}


def test_of_the_data_what_came_later_is_said_only_where_it_is_not_the_default():
    data = schema.experiment().data.to_dict()
    facts = data_facts(data, "crop_pct", "label_noise")
    assert facts.keys() == {"name", "train", "validation", "image_size", "classes"}
    assert data_facts({**data, "crop_pct": 0.875}, "crop_pct", "label_noise") == {**facts, "crop_pct": 0.875}
    assert data_facts({**data, "crop_pct": 0.875}) == facts


def test_parameters_are_hashed_in_the_order_of_their_paths():
    arrays = {"b": {"kernel": np.float32([[1, 2], [3, 4]])}, "a": {"bias": np.float32([9]), "kernel": np.float32([0])}}
    digest = hashlib.sha256()
    for names, array in ((("a", "bias"), [9]), (("a", "kernel"), [0]), (("b", "kernel"), [1, 2, 3, 4])):
        path = f"({', '.join(f'DictKey(key={name!r})' for name in names)})"
        digest.update(path.encode() + np.float32(array).tobytes())
    assert params_sha256(arrays) == digest.hexdigest()
    assert params_sha256(jax.tree.map(jax.numpy.asarray, dict(reversed(arrays.items())))) == digest.hexdigest()
    assert params_sha256({**arrays, "b": {"kernel": arrays["b"]["kernel"].T}}) != digest.hexdigest()
