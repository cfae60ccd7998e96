"""COCO's numbers from padded arrays: against pycocotools fed by hand, whichever package computes them."""

import importlib.util

import numpy as np
import pytest
from metrics.coco_sets import IMAGES, pycocotools_stats, random_set

from effjax.errors import UserError
from effjax.metrics import coco_numbers

NAMES = ("map", "ap50", "ap75", "small", "medium", "large")
SIZES = np.tile([240, 320], (IMAGES, 1))
PACKAGES = ("faster_coco_eval", "pycocotools")


@pytest.fixture(params=PACKAGES)
def package(request, monkeypatch):
    """As if this package alone were installed."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    hide(monkeypatch, *(name for name in PACKAGES if name != request.param))


def hide(monkeypatch, *names):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else find(name))


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("kind", ["plain", "crowd", "empty", "overfull"])
def test_random_sets_against_annotations_one_by_one(kind):
    given = random_set(7, kind)
    found, expected = coco_numbers(**given, sizes=SIZES), pycocotools_stats(given, 240, 320)[:6]
    assert [found[name] for name in NAMES] == pytest.approx(np.where(expected < 0, np.nan, expected), nan_ok=True)
    assert np.mean(list(found["by_class"].values())) == pytest.approx(found["map"])
    assert list(found["by_class"]) == list(range(3 if kind == "empty" else 4))


@pytest.mark.usefixtures("package")
def test_images_have_sizes_of_their_own():
    box = np.array([[[0.0, 0.0, 0.5, 0.25]]] * 2, np.float32)
    zeros, there = np.zeros((2, 1), int), np.array([[True], [True]])
    sure = np.full((2, 1), 0.9)
    # Of 8 × 8 and 200 × 200 pixels; the second is not found.
    found = coco_numbers(box, sure, zeros, np.array([[True], [False]]), box, zeros, there, [[16, 32], [400, 800]])
    assert (found["small"], found["large"]) == pytest.approx((1, 0))
    assert np.isnan(found["medium"])
    assert found["by_class"] == {0: pytest.approx(51 / 101)}


@pytest.mark.usefixtures("package")
def test_nothing_found_is_0_and_nothing_there_is_nan():
    given = random_set(0)
    nothing = np.zeros((IMAGES, 1), bool)
    empty = {"boxes": np.zeros((IMAGES, 1, 4)), "scores": np.zeros((IMAGES, 1)), "classes": np.zeros((IMAGES, 1), int)}
    found = coco_numbers(**{**given, **empty, "present": nothing}, sizes=SIZES)
    assert found["map"] == 0
    found = coco_numbers(**{**given, "true_valid": np.zeros_like(given["true_valid"])}, sizes=SIZES)
    assert np.isnan([found[name] for name in NAMES]).all()
    assert found["by_class"] == {}


def test_without_a_package_it_says_what_to_install(monkeypatch):
    hide(monkeypatch, *PACKAGES)
    with pytest.raises(UserError, match=r"pycocotools not installed: pip install 'effjax\[coco\]'"):
        coco_numbers(**random_set(0), sizes=SIZES)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sizes": SIZES[1:]}, r"sizes: shape \(39, 2\); allowed: \(40, 2\)"),
        ({"boxes": np.zeros((40, 130, 3))}, r"boxes: shape \(40, 130, 3\); allowed: \(40, 130, 4\)"),
        ({"crowd": np.zeros(40)}, r"crowd: shape \(40,\); allowed: \(40, 6\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed, said):
    with pytest.raises(UserError, match=said):
        coco_numbers(**{**random_set(0), "sizes": SIZES, **changed})
