"""Attention transfer by hand, against loops, and how maps of other sizes are met."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses
from effjax.errors import UserError

RNG = np.random.default_rng(6)
STUDENT = RNG.normal(size=(3, 5, 7, 2)).astype(np.float32)
TEACHER = RNG.normal(size=(3, 3, 4, 6)).astype(np.float32)


def pooled(maps, height, width):
    """Every cell of the result is the mean of the cells that it touches: PyTorch's adaptive average pooling."""
    result = np.zeros((height, width, maps.shape[-1]))
    for i in range(height):
        for j in range(width):
            top, bottom = int(np.floor(i * maps.shape[0] / height)), int(np.ceil((i + 1) * maps.shape[0] / height))
            left, right = int(np.floor(j * maps.shape[1] / width)), int(np.ceil((j + 1) * maps.shape[1] / width))
            result[i, j] = maps[top:bottom, left:right].mean((0, 1))
    return result


def attention(maps):
    energy = (maps**2).sum(-1).ravel()
    return energy / np.linalg.norm(energy)


def reference(student, teacher, form):
    values = []
    for s, t in zip(student.astype(np.float64), teacher.astype(np.float64), strict=True):
        size = [min(a, b) for a, b in zip(s.shape[:2], t.shape[:2], strict=True)]
        gap = attention(pooled(s, *size)) - attention(pooled(t, *size))
        values.append(np.linalg.norm(gap) if form == "paper" else (gap**2).mean())
    return values


def test_by_hand():
    # Energies (9 + 16, 0) and (0, 1), normalised (1, 0) and (0, 1): each position is off by one.
    student = np.array([3.0, 4.0, 0.0, 0.0]).reshape(1, 1, 2, 2)
    teacher = np.array([0.0, 1.0]).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(losses.attention_transfer(student, teacher), [1.0], rtol=1e-6)
    np.testing.assert_allclose(losses.attention_transfer(student, teacher, form="paper"), [np.sqrt(2)], rtol=1e-6)


def test_the_published_formula():
    # RepDistiller's and torchdistill's two forms, written in PyTorch in float64: channels first there, last here.
    student = np.arange(2 * 3 * 5 * 4).reshape(2, 3, 5, 4) % 7 - 3.0
    teacher = np.arange(2 * 2 * 3 * 3).reshape(2, 2, 3, 3) % 5 - 1.0
    pair = student.transpose(0, 2, 3, 1), teacher.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(losses.attention_transfer(*pair).mean(), 0.047381059761028826, rtol=1e-5)
    np.testing.assert_allclose(losses.attention_transfer(*pair, form="paper").mean(), 0.6525787474013314, rtol=1e-5)


@pytest.mark.parametrize("form", ["code", "paper"])
def test_equals_the_reference_whichever_is_larger(form):
    np.testing.assert_allclose(
        losses.attention_transfer(STUDENT, TEACHER, form=form), reference(STUDENT, TEACHER, form), rtol=1e-5
    )
    tall, wide = STUDENT[:, :3], TEACHER  # neither is larger: each is pooled along one axis
    tall, wide = tall.transpose(0, 2, 1, 3), wide
    np.testing.assert_allclose(losses.attention_transfer(tall, wide, form=form), reference(tall, wide, form), rtol=1e-5)


def test_pairs_are_summed():
    both = losses.attention_transfer([STUDENT, STUDENT[:, :2]], (TEACHER, TEACHER[..., :1]))
    first = losses.attention_transfer(STUDENT, TEACHER)
    second = losses.attention_transfer(STUDENT[:, :2], TEACHER[..., :1])
    np.testing.assert_allclose(both, first + second, rtol=1e-6)


@pytest.mark.parametrize("form", ["code", "paper"])
@pytest.mark.parametrize("student", [np.zeros_like(TEACHER), TEACHER])
def test_gradient_is_finite_at_zero_maps_and_at_the_same_map(form, student):
    grad = jax.grad(lambda s: losses.attention_transfer(s, TEACHER, form=form).sum())(jnp.asarray(student))
    np.testing.assert_allclose(grad, 0, atol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"form='cod'; allowed: code, paper \(did you mean 'code'\?\)"):
        losses.attention_transfer(STUDENT, TEACHER, form="cod")
    for pair in (([STUDENT], [TEACHER, TEACHER]), ([], []), (STUDENT[:2], TEACHER), (STUDENT[..., 0], TEACHER)):
        with pytest.raises(AssertionError):
            losses.attention_transfer(*pair)
