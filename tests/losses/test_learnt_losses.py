"""CC, VID and CRD: RepDistiller's own numbers, left-out examples, batches over devices, extremes."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses
from effjax.losses.pooling import averaged
from effjax.numerics import unit

GOLDEN = dict(np.load(Path(__file__).parent / "goldens" / "repdistiller.npz"))
RNG = np.random.default_rng(3)
STUDENT, TEACHER = RNG.normal(size=(2, 8, 5)).astype(np.float32)
KEEP = np.array([True, False, False, True, True, False, True, True])


def golden(part):
    return {name.removeprefix(f"{part}/"): array for name, array in GOLDEN.items() if name.startswith(f"{part}/")}


def test_congruence_is_that_of_its_authors():
    found = golden("cc")
    each = losses.correlation_congruence(found["student"], found["teacher"])
    np.testing.assert_allclose(each.mean(), found["value"], rtol=1e-5)
    assert each[-1] == 0


def test_congruence_of_those_that_take_part():
    expected = losses.correlation_congruence(STUDENT[KEEP], TEACHER[KEEP])
    for poison in (0.0, np.nan):
        student, teacher = (np.where(KEEP[:, None], x, np.float32(poison)) for x in (STUDENT, TEACHER))
        found = losses.correlation_congruence(student, teacher, where=KEEP)
        np.testing.assert_allclose(found[KEEP], expected, rtol=1e-5)
        np.testing.assert_array_equal(found[~KEEP], 0)
    one = losses.correlation_congruence(STUDENT, TEACHER, where=np.arange(8) == 2)
    np.testing.assert_array_equal(one, 0)


def test_congruence_of_two_by_hand():
    student, teacher = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(losses.correlation_congruence(student, teacher), [2 * (1 * 2 + 2 * 2), 0])


def test_congruence_over_devices():
    expected = losses.correlation_congruence(STUDENT, TEACHER)
    loss = jax.vmap(partial(losses.correlation_congruence, axis_name="devices"), axis_name="devices")
    found = loss(STUDENT.reshape(4, 2, 5), TEACHER.reshape(4, 2, 5))
    np.testing.assert_allclose(found.reshape(8), expected, rtol=1e-5)


def test_congruence_teaches_both_sides():
    gradients = jax.grad(lambda *x: losses.correlation_congruence(*x).sum(), argnums=(0, 1))(STUDENT, TEACHER)
    np.testing.assert_allclose(gradients[0], -gradients[1], rtol=1e-5)
    assert np.abs(gradients[0]).min() > 0


def test_information_is_that_of_its_authors():
    found = golden("vid")
    student, teacher = (found[name].transpose(0, 2, 3, 1) for name in ("student", "teacher"))
    predicted = averaged(student, 4, 4)
    for number in (1, 2, 3):
        predicted = predicted @ found[f"conv{number}"][:, :, 0, 0].T
        predicted = np.maximum(predicted, 0) if number < 3 else predicted
    each = losses.variational_information(predicted, teacher, np.log1p(np.exp(found["scale"])) + 1e-5)
    np.testing.assert_allclose(each.mean(), found["value"], rtol=1e-5)


def test_information_by_hand_and_its_best_variance():
    errors = TEACHER - STUDENT
    best = np.square(errors).mean(0)
    each = losses.variational_information(STUDENT, TEACHER, best)
    np.testing.assert_allclose(each, 0.5 * (errors**2 / best + np.log(best)).mean(1), rtol=1e-5)
    slope = jax.grad(lambda v: losses.variational_information(STUDENT, TEACHER, v).mean())(jnp.asarray(best))
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    to_teacher = jax.grad(lambda t: losses.variational_information(STUDENT, t, best).sum())(TEACHER)
    np.testing.assert_array_equal(to_teacher, 0)
    poisoned = np.where(KEEP[:, None], STUDENT, np.float32(np.nan))
    found = losses.variational_information(poisoned, TEACHER, best, where=KEEP)
    np.testing.assert_allclose(found, np.where(KEEP, each, 0), rtol=1e-5)


def crd(student, teacher, z, banks, ids, negatives, weights, **options):
    """Both directions, as the term has them."""
    ours, theirs = (
        unit(jnp.matmul(x, weights[f"embed_{side}.linear.weight"].T) + weights[f"embed_{side}.linear.bias"])
        for x, side in ((student, "s"), (teacher, "t"))
    )
    options = {"examples": 12, **options}
    one, z_one = losses.noise_contrastive(ours, banks[1], ids, negatives, z[0], **options)
    other, z_other = losses.noise_contrastive(theirs, banks[0], ids, negatives, z[1], **options)
    axis = options.get("axis_name")
    moved = [losses.moved_memory(bank, x, ids, axis_name=axis) for bank, x in zip(banks, (ours, theirs), strict=True)]
    return one + other, (jnp.stack([z_one, z_other]), moved)


def test_noise_contrast_is_that_of_its_authors():
    """Values, gradients, both memories and Z, over two steps."""
    found = golden("crd")
    z, banks = jnp.full(2, -1.0), [found["memory1"], found["memory2"]]
    for step in range(2):
        now = {name.removeprefix(f"step{step}/"): array for name, array in found.items() if f"step{step}/" in name}

        def total(student, now=now, z=z, banks=banks):
            value, after = crd(student, now["teacher"], z, banks, now["ids"], now["negatives"], found)
            return value.mean(), after

        (value, (z, banks)), gradient = jax.value_and_grad(total, has_aux=True)(now["student"])
        np.testing.assert_allclose(value, now["value"][0], rtol=1e-5)
        np.testing.assert_allclose(gradient, now["gradient"], rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(z, now["z"], rtol=1e-5)
        for number, bank in enumerate(banks, start=1):
            np.testing.assert_allclose(bank, now[f"memory{number}"], atol=1e-6)


def test_noise_contrast_over_devices_and_without_those_left_out():
    found = golden("crd")
    student, teacher = RNG.normal(size=(4, 6)).astype(np.float32), RNG.normal(size=(4, 9)).astype(np.float32)
    ids, negatives = np.array([3, 1, 8, 1]), RNG.integers(0, 12, (4, 5))
    banks, z = (found["memory1"], found["memory2"]), jnp.full(2, -1.0)
    value, (fresh, moved) = crd(student, teacher, z, banks, ids, negatives, found)
    parts = [x.reshape(2, 2, *x.shape[1:]) for x in (student, teacher, ids, negatives)]

    def one(student, teacher, ids, negatives):
        return crd(student, teacher, z, banks, ids, negatives, found, axis_name="devices")

    each, (z_each, moved_each) = jax.vmap(one, axis_name="devices")(*parts)
    np.testing.assert_allclose(each.reshape(4), value, rtol=1e-5)
    for device in (0, 1):
        np.testing.assert_allclose(z_each[device], fresh, rtol=1e-5)
        for ours, theirs in zip(moved_each, moved, strict=True):
            np.testing.assert_allclose(ours[device], theirs, rtol=1e-5, atol=1e-6)
    keep = np.array([True, True, False, True])
    embeddings, others = unit(student[:, :4]), (ids[keep], negatives[keep], -1.0)
    some, z_some = losses.noise_contrastive(embeddings, banks[1], ids, negatives, -1.0, examples=12, where=keep)
    subset, z_subset = losses.noise_contrastive(embeddings[keep], banks[1], *others, examples=12)
    np.testing.assert_allclose(some, np.insert(subset, 2, 0.0), rtol=1e-5)
    np.testing.assert_allclose(z_some, z_subset, rtol=1e-6)


def test_an_example_that_occurs_twice_moves_once_to_the_mean():
    bank = np.eye(3, dtype=np.float32)
    twice = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], np.float32)
    found = losses.moved_memory(bank, twice, np.array([0, 0]), momentum=0.5)
    expected = np.array([0.5, 0.25, 0.25]) / np.sqrt(0.375)
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(found[1:], bank[1:])


def test_negatives_are_of_other_classes_all_alike_and_by_the_example():
    classes = np.array([1, 0, 2, 1, 1, 0])
    order = np.argsort(classes, kind="stable").astype(np.int32)
    counts = np.bincount(classes)
    examples = losses.OfOtherClasses(*map(jnp.asarray, (order, np.cumsum(counts) - counts, counts)))
    keys = jax.random.split(jax.random.key(1), 3)
    drawn = np.asarray(losses.of_other_classes(keys, jnp.array([0, 1, 2]), examples, 6000))
    for row, own in zip(drawn, (0, 1, 2), strict=True):
        others = np.flatnonzero(classes != own)
        shares = np.bincount(row, minlength=6)[others] / 6000
        assert set(np.unique(row)) == set(others)
        np.testing.assert_allclose(shares, 1 / len(others), atol=0.03)
    turned = losses.of_other_classes(keys[::-1], jnp.array([2, 1, 0]), examples, 6000)
    np.testing.assert_array_equal(turned[::-1], drawn)


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_extremes_stay_finite(scale):
    def total(x):
        embedded = unit(scale * x)
        cc = losses.correlation_congruence(scale * x, TEACHER).sum()
        vid = losses.variational_information(scale * x, TEACHER, jnp.full(5, 1e-5)).sum()
        crd, _ = losses.noise_contrastive(
            embedded, unit(TEACHER), jnp.arange(8), jnp.eye(8, 3, dtype=int), -1.0, examples=8
        )
        return cc + vid + crd.sum()

    value, gradient = jax.value_and_grad(total)(STUDENT)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("embeddings", "bank", "ids", "negatives"),
    [
        (STUDENT, TEACHER, np.arange(1), np.ones((1, 3), int)),
        (STUDENT, TEACHER, np.arange(8), np.ones((1, 3), int)),
        (STUDENT[:1], TEACHER, np.arange(8), np.ones((8, 3), int)),
        (STUDENT[None], TEACHER, np.arange(1), np.ones((1, 3), int)),
        (STUDENT, TEACHER[None], np.arange(8), np.ones((8, 3), int)),
        (STUDENT, TEACHER, np.arange(8), np.ones((8, 3, 1), int)),
    ],
)
def test_counterparts_and_others_are_of_each_example(embeddings, bank, ids, negatives):
    with pytest.raises(AssertionError):
        losses.noise_contrastive(embeddings, bank, ids, negatives, -1.0, examples=8)


def test_a_prediction_of_another_shape_and_a_variance_of_another_channel_are_refused():
    for predicted, variance in ((STUDENT[:1], np.ones(5)), (STUDENT[:, :1], np.ones(5)), (STUDENT, np.ones(1))):
        with pytest.raises(AssertionError):
            losses.variational_information(predicted, TEACHER, variance)
