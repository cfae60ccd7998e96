"""A detector's losses: by hand, against float64, masks, extremes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from boxes.references import overlap, random_boxes

from effjax import losses

RNG = np.random.default_rng(3)
LOGITS = RNG.normal(0, 3, (2, 4, 5)).astype(np.float32)
QUALITY = RNG.random((2, 4)).astype(np.float32)
CLASSES = RNG.integers(-1, 5, (2, 4))
POSITIVE = (RNG.random((2, 4)) < 0.5) & (CLASSES >= 0)
KEEP = np.array([[True, False, True, True], [False, True, True, False]])
PREDICTED, TARGET = random_boxes(RNG, 2, 4), random_boxes(RNG, 2, 4)


def focal(logits, quality, classes, positive, beta):
    """Point by point and class by class, in float64."""
    losses_ = np.zeros(quality.shape)
    for place in np.ndindex(quality.shape):
        for k, logit in enumerate(logits[place].astype(np.float64)):
            target = float(quality[place]) if positive[place] and classes[place] == k else 0.0
            probability = 1 / (1 + np.exp(-logit))
            entropy = -target * np.log(probability) - (1 - target) * np.log(1 - probability)
            losses_[place] += abs(target - probability) ** beta * entropy
    return losses_


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
@pytest.mark.parametrize("beta", [1.0, 2.0, 2.5])
def test_quality_focal_against_float64(compile_, beta):
    loss = compile_(lambda *x: losses.quality_focal(*x, beta=beta))(LOGITS, QUALITY, CLASSES, POSITIVE)
    np.testing.assert_allclose(loss, focal(LOGITS, QUALITY, CLASSES, POSITIVE, beta), rtol=2e-5)


def test_quality_focal_by_hand():
    # Probability .5 everywhere: (.5 − .25)² · log 2 at the class of quality .25, .5² · log 2 at the other.
    loss = losses.quality_focal(np.zeros((2, 2)), np.full(2, 0.25), np.ones(2, int), np.array([True, False]))
    np.testing.assert_allclose(loss, [(1 / 16 + 1 / 4) * np.log(2), np.log(2) / 2], rtol=1e-6)


def test_quality_focal_is_0_where_the_probability_is_the_quality_and_the_rest_is_0():
    logits = np.array([[0.0, -1e4]], np.float32)
    value, gradient = jax.value_and_grad(lambda x: losses.quality_focal(x, *exact).sum())(logits)
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


exact = np.array([0.5]), np.array([0]), np.array([True])


def test_generalized_iou_loss_against_boxes_one_by_one():
    pairs = zip(PREDICTED.reshape(-1, 4), TARGET.reshape(-1, 4), strict=True)
    expected = np.reshape([1 - overlap(*pair)[1] for pair in pairs], (2, 4))
    np.testing.assert_allclose(losses.generalized_iou_loss(PREDICTED, TARGET), expected, atol=2e-6)
    np.testing.assert_allclose(losses.generalized_iou_loss(TARGET, TARGET), 0, atol=1e-6)


CASES = {
    "focal": (lambda x, q, w: losses.quality_focal(x, q, CLASSES, POSITIVE, where=w), LOGITS, QUALITY),
    "iou": (lambda x, t, w: losses.generalized_iou_loss(x, t, where=w), PREDICTED, TARGET),
}


@pytest.mark.parametrize("name", CASES)
def test_left_out_ones_take_no_part(name):
    loss, predicted, target = CASES[name]

    def total(x, t, where):
        values = loss(x, t, where)
        return (values * KEEP).sum(), values

    evaluate = jax.value_and_grad(total, (0, 1), has_aux=True)
    (_, expected), (gradient, _) = evaluate(predicted, target, None)
    poisoned = [np.where(KEEP.reshape(2, 4, *(1,) * (x.ndim - 2)), x, np.nan) for x in (predicted, target)]
    (_, values), (masked, to_target) = evaluate(*poisoned, KEEP)
    np.testing.assert_array_equal(values, np.where(KEEP, expected, 0))
    np.testing.assert_array_equal(masked, np.where(KEEP[..., None], gradient, 0))
    np.testing.assert_array_equal(to_target, 0)
    assert np.abs(masked).max() > 1e-4


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_extreme_predictions_stay_finite(dtype):
    logits = jnp.asarray(1e4 * np.sign(LOGITS), dtype)
    value, gradient = jax.value_and_grad(lambda x: losses.quality_focal(x, QUALITY, CLASSES, POSITIVE).sum())(logits)
    assert value.dtype == jnp.float32
    assert np.isfinite(value)
    assert np.isfinite(gradient.astype(np.float32)).all()
    far = jnp.asarray(np.array([[-1e4, -1e4, 1e4, 1e4], [0.5, 0.5, 0.5, 0.5]]), dtype)
    value, gradient = jax.value_and_grad(lambda x: losses.generalized_iou_loss(x, TARGET[0, :2]).sum())(far)
    assert value.dtype == jnp.float32
    assert np.isfinite(value)
    assert np.isfinite(gradient.astype(np.float32)).all()


def test_boxes_that_do_not_touch_are_drawn_together():
    left, right = jnp.array([0.0, 0.0, 1.0, 0.25]), jnp.array([0.0, 0.75, 1.0, 1.0])
    assert jax.grad(lambda x: losses.generalized_iou_loss(x, right))(left)[3] < 0


@pytest.mark.parametrize(
    ("quality", "classes", "where"),
    [(QUALITY[:1], CLASSES, None), (QUALITY, CLASSES[0], None), (QUALITY, CLASSES, KEEP[0])],
)
def test_shapes_of_another_batch_are_refused(quality, classes, where):
    with pytest.raises((AssertionError, ValueError, TypeError)):
        losses.quality_focal(LOGITS, quality, classes, POSITIVE, where=where)


def test_one_quality_a_point():
    """Neither what is said of one image nor of one class is taken for all."""
    for given in (
        (QUALITY[:1], CLASSES[:1], POSITIVE[:1]),
        (QUALITY[..., None], CLASSES[..., None], POSITIVE[..., None]),
    ):
        with pytest.raises(AssertionError):
            losses.quality_focal(LOGITS, *given)
    for target in (LOGITS[:1], LOGITS[..., :1], LOGITS[0]):
        with pytest.raises(AssertionError):
            losses.soft_quality_focal(LOGITS, jax.nn.sigmoid(target))


def test_shapes_of_other_boxes_are_refused():
    with pytest.raises(AssertionError):
        losses.generalized_iou_loss(PREDICTED, TARGET[:1])


def test_a_teacher_stands_for_what_is_true_in_every_class():
    logits = np.array([[0.3, -1.0], [2.0, 0.0]], np.float32)
    target = np.array([[0.9, 0.1], [0.2, 0.5]], np.float32)
    sure = 1 / (1 + np.exp(-logits.astype(float)))
    entropy = -target * np.log(sure) - (1 - target) * np.log(1 - sure)
    expected = (np.abs(target - sure) ** 2 * entropy).sum(-1)
    np.testing.assert_allclose(losses.soft_quality_focal(logits, target), expected, rtol=1e-5)
    np.testing.assert_array_equal(losses.soft_quality_focal(logits, target, where=np.array([True, False]))[1], 0)
    own = jax.grad(lambda target: losses.soft_quality_focal(logits, target).sum())(jnp.asarray(target))
    np.testing.assert_array_equal(own, 0)
