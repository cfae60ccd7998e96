"""What a teacher's answers become when they are stored: the same distribution, or nearly, at a fraction of the size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import CachedTeacher, NetworkTeacher, Shift, View, pack_answers

CLASSES, IDS, VERSIONS = 6, 5, 2
LOGITS = np.random.default_rng(0).normal(0, 4, (VERSIONS, IDS, CLASSES)).astype(np.float32)
BATCH = {"id": np.array([3, 0, 3], np.int32), "version": np.array([1, 0, 0], np.int32)}
IMAGES = jnp.zeros((3, 4, 4, 1))


def replayed(form, batch=BATCH, logits=LOGITS):
    return CachedTeacher(logits.shape[-1])(pack_answers(jnp.asarray(logits), form), batch).logits


@pytest.mark.parametrize(("form", "tolerance"), [("float32", 1e-6), ("float16", 2e-3)])
def test_distributions_survive(form, tolerance):
    expected = jax.nn.softmax(LOGITS[BATCH["version"], BATCH["id"]])
    np.testing.assert_allclose(jax.nn.softmax(replayed(form)), expected, rtol=2 * tolerance, atol=1e-7)


def test_the_largest_keep_their_probability_and_the_rest_share_what_is_left():
    expected = np.asarray(jax.nn.softmax(LOGITS[BATCH["version"], BATCH["id"]]))
    found = np.asarray(jax.nn.softmax(replayed("top2")))
    for probs, kept in zip(expected, found, strict=True):
        largest = np.argsort(-probs)[:2]
        np.testing.assert_allclose(kept[largest], probs[largest], rtol=5e-3)
        others = np.setdiff1d(np.arange(CLASSES), largest)
        np.testing.assert_allclose(kept[others], probs[others].sum() / 4, rtol=5e-3)


def test_without_versions_there_is_one():
    found = replayed("float32", {"id": BATCH["id"]}, LOGITS[:1])
    np.testing.assert_allclose(jax.nn.softmax(found), jax.nn.softmax(LOGITS[0, BATCH["id"]]), rtol=1e-6)


@pytest.mark.parametrize("form", ["float16", "top2"])
def test_logits_beyond_float16_stay_finite(form):
    found = replayed(form, logits=np.float32(1e5) * LOGITS)
    assert np.isfinite(jax.nn.softmax(found)).all()
    assert not np.isnan(found).any()


@pytest.mark.parametrize("form", ["float8", "top0", "top6", "topk", ""])
def test_unknown_forms_are_refused(form):
    with pytest.raises(UserError, match="allowed: float16, float32, or top1 to top5"):
        pack_answers(jnp.asarray(LOGITS), form)


class Recorder:
    """Stands for a network: notes what it is shown, answers with three classes."""

    def apply(self, frozen, images, train):
        self.shown = images
        return Outputs(jnp.log(jnp.array([[0.2, 0.5, 0.3]])), {})


def test_a_teacher_sees_its_own_scale_size_and_channels():
    module, pixels = Recorder(), np.full((1, 4, 4, 1), 0.6, np.float32)
    view = View(mean=(0.5,), std=(0.25,))
    scale = ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    teacher = NetworkTeacher(module, view, scale=scale, image_size=8, repeat_channels=3)
    teacher({}, {"image": (pixels - 0.5) / 0.25})
    assert module.shown.shape == (1, 8, 8, 3)
    np.testing.assert_allclose(module.shown[0, 3, 3], [0.5, 0.2, 0.1], rtol=1e-5)


def test_classes_that_make_up_one_add_their_probabilities():
    teacher = NetworkTeacher(Recorder(), classes=((1, 2), (0,)))
    np.testing.assert_allclose(jnp.exp(teacher({}, {"image": IMAGES}).logits), [[0.8, 0.2]], rtol=1e-6)


def test_versions_are_replayed_whatever_the_step():
    view, ids = View(ops=(Shift(1),), replays=3), jnp.arange(64)
    seen = {}
    for step in range(4):
        keys, versions = view.draw(7, step, ids)
        assert set(np.asarray(versions)) == {0, 1, 2}
        for i, version, key in zip(ids, versions, jax.random.key_data(keys), strict=True):
            assert seen.setdefault((int(i), int(version)), key.tolist()) == key.tolist()
    assert len({tuple(key) for key in seen.values()}) == len(seen)
    assert View(ops=(Shift(1),)).draw(7, 0, ids)[1] is None
