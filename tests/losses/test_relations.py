"""The losses on relations between examples: by hand, against loops in float64, and for examples that coincide."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses

RNG = np.random.default_rng(7)
STUDENT = RNG.normal(size=(5, 3)).astype(np.float32)
TEACHER = RNG.normal(1.0, 2.0, size=(5, 2, 2)).astype(np.float32)

# The batch on which the published formulas were evaluated, written in PyTorch in float64.
PUBLISHED = (
    np.array([[1.0, -0.5, 2.0], [0.0, 1.5, -1.0], [3.0, 0.5, 0.5], [-2.0, 1.0, 0.25]]),
    np.array([[0.5, 0.5, 1.0], [2.0, -1.0, 0.0], [1.0, 3.0, -0.5], [-1.0, 0.0, 2.5]]),
)


def smooth_l1(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def distances(x):
    """Pair by pair, over the mean of different examples' distances."""
    table = np.array([[np.linalg.norm(a - b) for b in x] for a in x])
    return table / table.sum() * (len(x) * (len(x) - 1))


def cosines(x):
    """Triplet by triplet, from the differences themselves."""
    table = np.zeros((len(x),) * 3)
    for i, vertex in enumerate(x):
        for j, first in enumerate(x):
            for k, second in enumerate(x):
                sides = np.linalg.norm(first - vertex) * np.linalg.norm(second - vertex)
                table[i, j, k] = (first - vertex) @ (second - vertex) / sides if sides else 0.0
    return table


def similarities(x):
    table = np.array([[a @ b for b in x] for a in x])
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def infonce(student, teacher, temperature=0.1):
    values = []
    for i, s in enumerate(student):
        scores = [s @ t / np.linalg.norm(s) / np.linalg.norm(t) / temperature for t in teacher]
        values.append(np.log(np.sum(np.exp(scores))) - scores[i])
    return values


def by_example(function, size=smooth_l1):
    def reference(student, teacher):
        gaps = function(student) - function(teacher)
        return [np.mean([size(gap) for gap in row.ravel()]) for row in gaps]

    return reference


CASES = {
    "relational_distance": (losses.relational_distance, by_example(distances), 0.040238713709680574),
    "relational_angle": (losses.relational_angle, by_example(cosines), 0.06545108611175039),
    "similarity_preserving": (losses.similarity_preserving, by_example(similarities, np.square), 0.18992536380552202),
    "contrastive": (losses.contrastive, infonce, 4.120714080783777),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference_example_by_example(name):
    loss, reference, published = CASES[name]
    teacher = TEACHER.reshape(5, 4)[:, :3] if name == "contrastive" else TEACHER
    expected = reference(STUDENT.astype(np.float64), teacher.reshape(5, -1).astype(np.float64))
    np.testing.assert_allclose(loss(STUDENT, teacher), expected, rtol=5e-5, atol=1e-6)
    np.testing.assert_allclose(loss(*PUBLISHED).mean(), published, rtol=2e-5)


def test_distances_by_hand():
    # On a line at 0, 1, 3: distances 1, 2, 3, mean 2. At 0, 2, 4: 2, 2, 4, mean 8/3. Over their means: 1/2, 1, 3/2
    # against 3/4, 3/4, 3/2, so that gaps of 1/4 lie between 0 and 1, and between 1 and 2.
    student, teacher = np.array([[0.0], [1.0], [3.0]]), np.array([[0.0], [2.0], [4.0]])
    gap = 0.5 * 0.25**2
    loss = losses.relational_distance(student, teacher)
    np.testing.assert_allclose(loss, np.array([gap, 2 * gap, gap]) / 3, rtol=1e-4)


def test_angles_by_hand():
    # A right angle at the first example against a straight line with it in the middle: cosine 0 against -1. At the
    # other corners 45 degrees against 0: cosine sqrt(1/2) against 1. Each counts twice among the nine.
    student = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    teacher = np.array([[0.0], [1.0], [-1.0]])
    corner = 2 * 0.5 * (1 - np.sqrt(0.5)) ** 2 / 9
    loss = losses.relational_angle(student, teacher)
    np.testing.assert_allclose(loss, [2 * 0.5 / 9, corner, corner], rtol=1e-5)


def test_similarities_by_hand():
    # Rows (1, 0), (0, 1) of orthogonal examples against (1, 1) / sqrt(2) of equal ones.
    gap = ((1 - np.sqrt(0.5)) ** 2 + 0.5) / 2
    np.testing.assert_allclose(losses.similarity_preserving(np.eye(2), np.ones((2, 1))), [gap, gap], rtol=1e-6)


def test_contrast_by_hand():
    # Cosines 1 and 0 at T = 1/2; lengths do not matter.
    loss = losses.contrastive(np.diag([2.0, 5.0]), np.eye(2), temperature=0.5)
    np.testing.assert_allclose(loss, [np.log(1 + np.exp(-2))] * 2, rtol=1e-5)


@pytest.mark.parametrize("name", ["relational_distance", "relational_angle", "similarity_preserving"])
def test_zero_for_the_same_relations(name):
    turned = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    features = TEACHER.reshape(5, 4)
    np.testing.assert_allclose(CASES[name][0](3.0 * features @ turned, features), 0, atol=1e-9)


@pytest.mark.parametrize("name", ["relational_distance", "relational_angle"])
def test_relations_far_from_the_origin_keep_their_digits(name):
    loss, reference, _ = CASES[name]
    student = STUDENT + np.float32(1000.0)
    expected = reference(student.astype(np.float64), TEACHER.reshape(5, -1).astype(np.float64))
    np.testing.assert_allclose(loss(student, TEACHER), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_examples_that_coincide_have_finite_gradients(name):
    teacher = TEACHER.reshape(5, 4)
    evaluate = jax.jit(
        jax.value_and_grad(lambda s: CASES[name][0](s, teacher).sum()),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    for student in (np.zeros((5, 4)), np.ones((5, 4)), STUDENT[[0, 0, 1, 2, 2]][:, [0, 1, 2, 0]]):
        value, grad = evaluate(jnp.asarray(student, jnp.float32))
        assert np.isfinite(value)
        assert np.abs(grad).max() < 100


def test_sides_of_length_zero_have_no_angle():
    doubled = np.concatenate([STUDENT, STUDENT[:1]])
    expected = by_example(cosines)(doubled.astype(np.float64), np.arange(12.0).reshape(6, 2) ** 2)
    np.testing.assert_allclose(
        losses.relational_angle(doubled, np.arange(12.0).reshape(6, 2) ** 2), expected, rtol=1e-4
    )


@pytest.mark.parametrize("name", CASES)
def test_one_example_alone(name):
    value, grad = jax.value_and_grad(lambda s: CASES[name][0](s, s + 1.0).sum())(STUDENT[:1])
    np.testing.assert_allclose(value, 0, atol=1e-5)
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("name", CASES)
def test_wrong_shapes_are_refused(name):
    with pytest.raises(AssertionError):
        CASES[name][0](STUDENT, STUDENT[:4])
    with pytest.raises((AssertionError, ValueError)):
        CASES[name][0](STUDENT, STUDENT, where=np.ones(4, bool))
    if name == "contrastive":
        with pytest.raises(AssertionError):
            losses.contrastive(STUDENT, STUDENT[:, :2])
