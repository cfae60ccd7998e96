"""Names of datasets that are files: what they mean, and that every module reads them by the one registry."""

import csv

import numpy as np
import pytest
from PIL import Image

from effjax.data.file_kinds import FILE_KINDS, file_kind, file_splits
from effjax.data.sources import load, split_names
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.folders import drawn, with_test


def table(root, split="split", parts=("train", "train", "val", "testing")):
    rows = [(f"{n}.png", ("cat", "dog")[n % 2], parts[n // 4]) for n in range(16)]
    for n, (path, _, _) in enumerate(rows):
        Image.fromarray(np.full((6, 6), 10 * n, np.uint8)).save(root / path)
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", split), *rows])
    return f"csv:{root / 'labels.csv'}"


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_a_name_is_its_kind_and_its_path(kind):
    assert file_kind(f"{kind}:some/where:else") == (FILE_KINDS[kind], "some/where:else")
    with pytest.raises(UserError, match=f"dataset '{kind}:' lacks its path: {kind}:/path"):
        file_kind(f"{kind}:")
    assert file_kind(kind) is None  # TFDS's, if it has one


def test_versions_are_of_tfds_where_it_has_a_dataset_of_that_name():
    assert file_kind("coco:1.1.0") is None
    assert file_kind("coco:1.*.*") is None
    assert file_kind("voc/2007:4.0.0") is None
    assert file_kind("folder:1.0.0") == (FILE_KINDS["folder"], "1.0.0")


def test_of_a_prepared_dataset_files_say_nothing():
    assert file_splits("digits") is None


@pytest.mark.parametrize("kind", [kind for kind, one in FILE_KINDS.items() if one.unpadded])
def test_padding_is_refused_where_nothing_differs_in_length(kind):
    with pytest.raises(UserError, match=r"config\.data\.padded=\{'objects': 3\}: "):
        load(f"{kind}:/nowhere", "train", padded={"objects": 3})


def test_a_loop_finds_the_test_split_by_what_others_call_it(tmp_path):
    name = table(tmp_path)
    assert split_names(name) == ["train", "validation", "test"]
    config = schema.experiment().to_dict()
    config["data"] |= {"name": name, "pool": f"folder:{tmp_path}", "test": "testing"}
    assert with_test(config)["data"]["test"] == "testing"
    assert len(load(name, "testing")) == 4


def test_what_is_drawn_makes_a_run_what_it_is_and_what_is_said_does_not(tmp_path):
    data = schema.experiment().to_dict()["data"] | {"name": table(tmp_path)}
    assert drawn(data | {"train": "train", "validation": "validation"}) == {}
    assert drawn(data | {"train": "train[:50%]", "validation": "validation"}) == {"parts": "of every class"}
    whole = data | {"name": table(tmp_path, "remark"), "train": "train", "validation": "validation"}
    assert drawn(whole) == {"split": (80, 10, 10)}
