"""What every loss against a teacher promises: masks, precision, extremes, the frozen teacher, jit and devices."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses

RNG = np.random.default_rng(8)
KEEP = np.array([True, True, False, True, False, True, True, False])
LABELS = np.arange(8) % 5
LOGITS = RNG.normal(0, 3, (2, 8, 5)).astype(np.float32)
MAPS = RNG.normal(0, 3, (2, 8, 4, 3, 2)).astype(np.float32)


def decoupled_kl(student, teacher, *, labels=LABELS, **options):
    return losses.decoupled_kl(student, teacher, labels[: len(student)], **options)


# Classes 0, 1, 2, … follow the examples in the order of the batch; a permuted or smaller batch has one label for all.
same_label = partial(decoupled_kl, labels=np.ones(8, np.int32))


def same_label_nkd(student, teacher, **options):
    return losses.normalized_kd(student, teacher, np.ones(len(student), np.int32), **options)


def adaptive_target(student, teacher, **options):
    return losses.adaptive_target(student, teacher, np.ones(len(student), np.int32), power=1.4, **options)


def solution_flow(student, teacher, **options):
    return losses.solution_flow((student, 2 * student[..., ::-1]), (teacher, teacher), **options)


def singular_transfer(student, teacher, **options):
    return losses.singular_transfer((student, student[:, 1:, ::-1]), (teacher, 2 * teacher[..., ::-1]), **options)


def adaptive_distance(student, teacher, **options):
    spread = np.linspace(-1, 1, student[0].size, dtype=np.float32).reshape(student[0].shape)
    return losses.adaptive_distance(student, teacher, jnp.broadcast_to(spread, student.shape), **options)


def partial_l2(student, teacher, **options):
    return losses.partial_l2(student, teacher, -np.ones(student.shape[-1]), **options)


CASES = {
    "adaptive_target": (adaptive_target, LOGITS),
    "hard_label": (losses.hard_label, LOGITS),
    "example_correlation": (losses.example_correlation, LOGITS),
    "class_correlation": (losses.class_correlation, LOGITS),
    "soft_target_kl": (losses.soft_target_kl, LOGITS),
    "decoupled_kl": (same_label, LOGITS),
    "logit_mse": (losses.logit_mse, LOGITS),
    "dist": (losses.dist, LOGITS),
    "hint_mse": (losses.hint_mse, MAPS),
    "hint_mean": (partial(losses.hint_mse, form="mean"), LOGITS),
    "hierarchical_context": (losses.hierarchical_context, MAPS),
    "attention_code": (losses.attention_transfer, MAPS),
    "attention_paper": (partial(losses.attention_transfer, form="paper"), MAPS),
    "relational_distance": (losses.relational_distance, MAPS),
    "relational_angle": (losses.relational_angle, MAPS),
    "similarity_preserving": (losses.similarity_preserving, MAPS),
    "contrastive": (losses.contrastive, LOGITS),
    "normalized_kd": (same_label_nkd, LOGITS),
    "neuron_selectivity": (losses.neuron_selectivity, MAPS),
    "probabilistic_transfer": (losses.probabilistic_transfer, MAPS),
    "channel_correlation": (losses.channel_correlation, MAPS),
    "log_distance": (losses.log_distance, LOGITS),
    "adaptive_distance": (adaptive_distance, LOGITS / 3),
    "gram_distance": (losses.gram_distance, LOGITS),
    "solution_flow": (solution_flow, MAPS / 3),
    "singular_transfer": (singular_transfer, MAPS),
    "activation_boundary": (losses.activation_boundary, MAPS / 6),
    "partial_l2": (partial_l2, MAPS),
    "factor_transfer": (losses.factor_transfer, MAPS),
    "factor_paper": (partial(losses.factor_transfer, form="paper"), MAPS),
}
BATCH_LEVEL = ["dist", "relational_distance", "relational_angle", "similarity_preserving", "contrastive"]
BATCH_LEVEL += ["probabilistic_transfer", "example_correlation", "class_correlation"]
BATCH_LEVEL += ["gram_distance", "log_distance"]
ONE_A_BATCH = ("dist", "class_correlation", "log_distance")
MAY_DIFFER = ("attention_code", "attention_paper", "relational_distance", "relational_angle")  # in their features
MAY_DIFFER += ("similarity_preserving", "neuron_selectivity", "probabilistic_transfer", "factor_transfer")
MAY_DIFFER += ("gram_distance",)
every_loss = pytest.mark.parametrize("name", CASES)


@cache
def compiled(name):
    """Values and both sides' gradients of their sum; one program for each shape and precision."""

    def total(student, teacher, where):
        values = CASES[name][0](student, teacher, where=where)
        return values.sum(), values

    return jax.jit(
        jax.value_and_grad(total, argnums=(0, 1), has_aux=True),
        compiler_options={"xla_backend_optimization_level": 0},
    )


def evaluate(name, student, teacher, where=None):
    (_, values), gradients = compiled(name)(student, teacher, where)
    return values, *gradients


@every_loss
def test_jit_changes_nothing_and_the_teacher_is_frozen(name):
    loss, (student, teacher) = CASES[name]
    values, gradient, to_teacher = evaluate(name, student, teacher)
    np.testing.assert_allclose(values, loss(student, teacher), rtol=2e-5, atol=1e-6)
    assert values.shape == (() if name in ONE_A_BATCH else (8,))
    np.testing.assert_array_equal(to_teacher, 0)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 1e-4


@every_loss
def test_gradients_are_those_of_finite_differences(name):
    _, (student, teacher) = CASES[name]
    direction = RNG.normal(size=student.shape).astype(np.float32)
    _, gradient, _ = evaluate(name, student, teacher)
    above, below = (evaluate(name, student + sign * 1e-2 * direction, teacher)[0].sum() for sign in (1, -1))
    np.testing.assert_allclose((gradient * direction).sum(), (above - below) / 2e-2, rtol=2e-2, atol=2e-3)


@every_loss
def test_nothing_is_spread_to_fit(name):
    """Shapes that numpy would broadcast are refused."""
    loss, (student, teacher) = CASES[name]
    refused = [(student, teacher[:1]), (student[:1], teacher), (student, teacher[0])]
    if name not in MAY_DIFFER:
        refused += [(student, teacher[..., :1]), (student[..., :1], teacher)]
    for pair in refused:
        with pytest.raises((AssertionError, ValueError)):
            loss(*pair)


@pytest.mark.parametrize(
    ("loss", "axes"),
    [
        (losses.dist, 2),
        (losses.example_correlation, 2),
        (losses.class_correlation, 2),
        (losses.contrastive, 2),
        (losses.correlation_congruence, 2),
        (losses.hierarchical_context, 4),
        (losses.neuron_selectivity, 4),
        (losses.attention_transfer, 4),
    ],
)
def test_what_has_other_axes_is_refused_of_both(loss, axes):
    """A loss that compares rows, or places of maps, does not take other axes for them."""
    for shape in ((2,) * (axes - 1), (2,) * (axes + 1)):
        with pytest.raises(AssertionError):
            loss(*np.ones((2, *shape), np.float32))


@pytest.mark.parametrize("loss", [losses.adaptive_target, losses.decoupled_kl, losses.normalized_kd])
@pytest.mark.parametrize("labels", [LABELS[:1], LABELS[:7], LABELS[:, None], np.eye(5)[LABELS]])
def test_labels_are_one_an_example(loss, labels):
    with pytest.raises(AssertionError):
        loss(*LOGITS, labels)


@every_loss
def test_left_out_examples_take_no_part(name):
    _, pair = CASES[name]
    expected, subset, _ = evaluate(name, pair[0][KEEP], pair[1][KEEP])
    for poison in (0.0, np.nan):
        student, teacher = (np.where(KEEP.reshape(-1, *(1,) * (x.ndim - 1)), x, np.float32(poison)) for x in pair)
        values, gradient, _ = evaluate(name, student, teacher, KEEP)
        np.testing.assert_allclose(gradient[KEEP], subset, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(gradient[~KEEP], 0)
        if name not in ONE_A_BATCH:
            np.testing.assert_array_equal(values[~KEEP], 0)
            values = values[KEEP]
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


@every_loss
def test_order_does_not_matter(name):
    _, (student, teacher) = CASES[name]
    order = RNG.permutation(8)
    values, turned = evaluate(name, student, teacher)[0], evaluate(name, student[order], teacher[order])[0]
    np.testing.assert_allclose(turned, values if name in ONE_A_BATCH else values[order], rtol=1e-4, atol=1e-6)


@every_loss
def test_bfloat16_is_computed_in_float32(name):
    _, pair = CASES[name]
    student, teacher = (jnp.asarray(x, jnp.bfloat16) for x in pair)
    values, gradient, _ = evaluate(name, student, teacher)
    expected, _, _ = evaluate(name, student.astype(jnp.float32), teacher.astype(jnp.float32))
    assert values.dtype == jnp.float32
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


@every_loss
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_extremes_stay_finite(name, dtype):
    _, pair = CASES[name]
    student, teacher = (jnp.asarray(1e4 * np.sign(x), dtype) for x in pair)
    for s, t in ((student, teacher), (student, student), (0 * student, teacher)):
        values, gradient, _ = evaluate(name, s, t)
        assert np.isfinite(values).all()
        assert np.isfinite(gradient.astype(np.float32)).all()


def shards(x, count):
    return x.reshape(count, -1, *x.shape[1:])


@pytest.mark.parametrize("name", BATCH_LEVEL)
def test_devices_together_make_the_global_batch(name):
    loss, (student, teacher) = CASES[name]
    weight = np.linspace(0.5, 1.5, student[0].size, dtype=np.float32).reshape(student[0].shape)

    def objective(weight, student, teacher, keep, axis_name=None):
        values = loss(weight * student, teacher, where=keep, axis_name=axis_name)
        return values.mean(), values

    def step(weight, *part):
        (_, values), gradient = jax.value_and_grad(objective, has_aux=True)(weight, *part, axis_name="devices")
        return values, jax.lax.pmean(gradient, "devices")

    (_, expected), gradient = jax.jit(jax.value_and_grad(objective, has_aux=True))(weight, student, teacher, KEEP)
    over = jax.jit(jax.vmap(step, in_axes=(None, 0, 0, 0), out_axes=(0, None), axis_name="devices"))
    values, together = over(weight, *(shards(x, 4) for x in (student, teacher, KEEP)))
    if name in ONE_A_BATCH:
        values = values[0]
    np.testing.assert_allclose(values.reshape(expected.shape), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(together, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", BATCH_LEVEL)
def test_under_pmap(name):
    loss, (student, teacher) = CASES[name]
    mapped = jax.pmap(partial(loss, axis_name="devices"), axis_name="devices", devices=jax.devices()[:1])
    np.testing.assert_allclose(mapped(student[None], teacher[None])[0], loss(student, teacher), rtol=1e-4, atol=1e-6)
