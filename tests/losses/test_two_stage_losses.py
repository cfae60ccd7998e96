"""AB, FT, FSP, OFD and KD-SVD: the authors' own numbers, by hand, and against loops over numpy."""

import itertools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses
from effjax.errors import UserError

GOLDEN = dict(np.load(Path(__file__).parent / "goldens" / "two_stages.npz"))
RNG = np.random.default_rng(4)


def golden(name):
    """An array, with its channels last."""
    array = GOLDEN[name]
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def layers(part, side):
    return [golden(f"{part}/{side}{number}") for number in range(3)]


def test_flows_are_those_of_repdistiller():
    each = losses.solution_flow(layers("fsp", "student"), layers("fsp", "teacher"))
    np.testing.assert_allclose(each.mean(), GOLDEN["fsp/value"], rtol=1e-5)


def flows(maps):
    """The matrices of consecutive maps of one size, each place by itself."""
    found = []
    for first, second in itertools.pairwise(maps):
        places = [(h, w) for h in range(first.shape[0]) for w in range(first.shape[1])]
        found.append(sum(np.outer(first[place], second[place]) for place in places) / len(places))
    return found


def test_flows_of_any_place_and_form():
    students, teachers = (
        [RNG.normal(size=(2, 3, 2, channels)).astype(np.float32) for channels in (2, 4, 3)] for _ in range(2)
    )
    for form, reduced in (("mean", np.mean), ("paper", np.sum)):
        expected = []
        for example in range(2):
            pairs = zip(flows([x[example] for x in students]), flows([x[example] for x in teachers]), strict=True)
            expected.append(sum(reduced((own - other) ** 2) for own, other in pairs))
        np.testing.assert_allclose(losses.solution_flow(students, teachers, form=form), expected, rtol=1e-5)
    # A map of twice the size, each place four times, is averaged: whichever of both it is.
    larger = [x.repeat(2, 1).repeat(2, 2) for x in students]
    expected = losses.solution_flow(students, teachers)
    for one in range(3):
        given = [larger[i] if i == one else students[i] for i in range(3)]
        np.testing.assert_allclose(losses.solution_flow(given, teachers), expected, rtol=1e-5)


def test_flows_are_refused():
    maps = [np.ones((2, 3, 3, 4)), np.ones((2, 3, 3, 5))]
    with pytest.raises(AssertionError, match="1 maps against 1; as many, 2 or more"):
        losses.solution_flow(maps[:1], maps[:1])
    with pytest.raises(AssertionError, match="2 maps against 1"):
        losses.solution_flow(maps, maps[:1])
    with pytest.raises(AssertionError):
        losses.solution_flow(maps, maps[::-1])
    with pytest.raises(AssertionError):
        losses.solution_flow(maps, [x[..., 0] for x in maps])
    with pytest.raises(UserError, match="form='code'; allowed: mean, paper"):
        losses.solution_flow(maps, maps, form="code")


def test_singular_vectors_relate_as_in_both_codes():
    students, teachers = layers("svd", "student"), layers("svd", "teacher")
    loss = jax.value_and_grad(lambda maps: losses.singular_transfer(maps, teachers).mean())
    value, gradients = jax.jit(loss)(students)
    np.testing.assert_allclose(value, GOLDEN["svd/value"], rtol=1e-5)
    for number, gradient in enumerate(gradients):
        np.testing.assert_allclose(gradient, golden(f"svd/gradient{number}"), rtol=1e-3, atol=2e-6)
    columns = losses.singular_transfer(students, teachers, form="columns")
    np.testing.assert_allclose(columns.mean(), GOLDEN["svd/columns"], rtol=1e-5)
    # Directions have no length.
    scaled = losses.singular_transfer([3 * x for x in students], teachers)
    np.testing.assert_allclose(scaled.mean(), value, rtol=1e-4)


@pytest.mark.parametrize(
    "maps",
    [np.maximum(RNG.normal(size=(2, 3, 3, 4)), 0) * [1, 0, 0, 1], np.ones((2, 1, 1, 4)), np.zeros((2, 2, 2, 4))],
    ids=["channels that are 0", "one place", "zeros"],
)
def test_directions_that_are_as_good_have_a_gradient(maps):
    other = jnp.asarray(RNG.normal(size=(2, 4, 4, 4)), jnp.float32)
    value, gradient = jax.value_and_grad(lambda x: losses.singular_transfer((x, other), (other, other)).sum())(
        jnp.asarray(maps, jnp.float32)
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_singular_vectors_are_refused():
    maps = [np.ones((2, 3, 2, 4)), np.ones((2, 3, 2, 5))]
    with pytest.raises(AssertionError, match="1 maps against 1; as many, 2 or more"):
        losses.singular_transfer(maps[:1], maps[:1])
    with pytest.raises(AssertionError, match="2 maps against 1"):
        losses.singular_transfer(maps, maps[:1])
    with pytest.raises(AssertionError):
        losses.singular_transfer(maps, maps[::-1])
    assert losses.singular_transfer(maps, maps[::-1], form="columns").shape == (2,)
    with pytest.raises(AssertionError):
        losses.singular_transfer(maps, [x[:, :, :1] for x in maps], form="columns")
    with pytest.raises(AssertionError):
        losses.singular_transfer(maps, [x[..., 0] for x in maps])
    with pytest.raises(UserError, match="form='rows'; allowed: channels, columns"):
        losses.singular_transfer(maps, maps, form="rows")


@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_units_are_brought_to_their_side(margin):
    student, teacher = RNG.normal(size=(2, 3, 4, 2, 5)).astype(np.float32)
    expected = np.zeros(3)
    for example, own, other in zip(range(3), student, teacher, strict=True):
        for s, t in zip(own.ravel(), other.ravel(), strict=True):
            if t > 0 and s < margin:
                expected[example] += (margin - s) ** 2
            if t <= 0 and s > -margin:
                expected[example] += (margin + s) ** 2
    np.testing.assert_allclose(losses.activation_boundary(student, teacher, margin=margin), expected, rtol=1e-5)
    gradient = jax.grad(lambda s: losses.activation_boundary(s, jnp.ones((1, 3))).sum())(jnp.array([[0.0, 1.0, 2.0]]))
    np.testing.assert_array_equal(gradient, [[-2.0, 0.0, 0.0]])


@pytest.mark.parametrize("margin", [0.0, -1.0, np.nan])
def test_boundaries_need_a_margin(margin):
    with pytest.raises(UserError, match=f"activation_boundary: margin={margin!r} must be above 0"):
        losses.activation_boundary(np.ones((1, 2)), np.ones((1, 2)), margin=margin)


def test_overhaul_is_that_of_mdistiller():
    each = losses.partial_l2(golden("ofd/student"), golden("ofd/teacher"), GOLDEN["ofd/margin"])
    np.testing.assert_allclose(each.mean(), GOLDEN["ofd/value"], rtol=1e-5)


def test_what_is_below_a_relu_costs_nothing_there():
    """Teacher above 0, between the margin and 0, below it; student below and above what it is to be."""
    teacher = np.array([[2.0, 2.0, -0.5, -0.5, -3.0, -3.0]])
    student = np.array([[1.0, 5.0, -0.75, 0.0, -1.5, 1.0]])
    cost = [losses.partial_l2(s[None], t[None], jnp.array([-1.0])) for s, t in zip(student.T, teacher.T, strict=True)]
    np.testing.assert_allclose(np.concatenate(cost), [1.0, 9.0, 0.0, 0.25, 0.0, 4.0])
    gradient = jax.grad(lambda m: losses.partial_l2(student, teacher, m).sum())(jnp.full(6, -1.0))
    np.testing.assert_array_equal(gradient, 0)
    with pytest.raises(AssertionError):
        losses.partial_l2(student, teacher, jnp.array([-1.0]))  # of one channel, for six


def test_margins_are_the_means_of_what_is_below():
    x = RNG.normal(size=(4, 3, 2, 5)).astype(np.float32)
    x[..., 2] = np.abs(x[..., 2])
    expected = [x[..., c][x[..., c] < 0].mean() if c != 2 else 0.0 for c in range(5)]
    np.testing.assert_allclose(losses.expected_negative(x), expected, rtol=1e-5)
    over = jax.vmap(partial(losses.expected_negative, axis_name="devices"), axis_name="devices")
    for found in over(x.reshape(2, 2, 3, 2, 5)):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert losses.expected_negative(jnp.asarray(x, jnp.bfloat16)).dtype == jnp.float32


def test_factors_of_unit_length():
    student, teacher = RNG.normal(size=(2, 3, 4, 2, 5)).astype(np.float32)

    def of(x, form):
        flat = (np.square(x).mean(-1) if form == "repdistiller" else x).reshape(len(x), -1)
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)

    for form in ("repdistiller", "paper"):
        expected = np.abs(of(student, form) - of(teacher, form)).mean(1)
        np.testing.assert_allclose(losses.factor_transfer(student, teacher, form=form), expected, rtol=1e-5)
    with pytest.raises(UserError, match="form='code'; allowed: paper, repdistiller"):
        losses.factor_transfer(student, teacher, form="code")
    # Of other channels and size: in the paper's form they cannot be compared.
    other = teacher[..., :3].repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(
        losses.factor_transfer(student, other), losses.factor_transfer(student, teacher[..., :3]), rtol=1e-5
    )
    with pytest.raises(AssertionError):
        losses.factor_transfer(student, other, form="paper")
