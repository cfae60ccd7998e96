"""SDD: parts of an image as PyTorch pools them, what they count for, and terms as the authors write them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from effjax import losses, models
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import make_term
from effjax.steps.term import TermInputs

RNG = np.random.default_rng(3)
LABELS = np.array([0, 2, 4, 1, 1, 3], np.int32)


def maps(side, seed, classes=5):
    return np.random.default_rng(seed).normal(0, 3, (len(LABELS), side, side, classes)).astype(np.float32)


def pooled(x, size):
    """nn.AdaptiveAvgPool2d of [B, H, W, K], cell by cell."""
    height, width = x.shape[1:3]
    rows = [(i * height // size, -(-(i + 1) * height // size)) for i in range(size)]
    columns = [(i * width // size, -(-(i + 1) * width // size)) for i in range(size)]
    return np.stack([np.stack([x[:, a:b, c:d].mean((1, 2)) for c, d in columns], 1) for a, b in rows], 1)


def parts(x, finest):
    """The authors' SPP: all scales from the 4×4."""
    most = pooled(x, 4)
    scales = [pooled(most, side).reshape(len(x), side * side, -1) for side in (1, 2, 4) if side <= finest]
    return np.concatenate(scales, 1)


@pytest.mark.parametrize("finest", [2, 4])
@pytest.mark.parametrize("side", [2, 4, 7, 8])
def test_parts_are_those_of_the_authors_code(side, finest):
    found = losses.region_logits(maps(side, 1), finest=finest)
    np.testing.assert_allclose(found, parts(maps(side, 1), finest), rtol=1e-5, atol=1e-6)
    assert found.shape == (6, {2: 5, 4: 21}[finest], 5)
    if side != 7:  # where parts do not overlap, the whole is the average of all places
        np.testing.assert_allclose(found[:, 0], maps(side, 1).mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_labels_of_other_examples_are_refused():
    with pytest.raises(AssertionError):
        losses.region_weights(np.zeros((3, 5, 4)), np.zeros(1, int))
    with pytest.raises(AssertionError):
        losses.region_weights(np.zeros((3, 4)), np.zeros(3, int))


def test_no_other_scales():
    with pytest.raises(UserError, match="finest=3; allowed: 2, 4"):
        losses.region_logits(maps(4, 1), finest=3)
    for no_maps in (maps(4, 1)[0], maps(4, 1)[:, None]):
        with pytest.raises(AssertionError):
            losses.region_logits(no_maps)
    with pytest.raises(UserError, match=r"terms\.sdd_kd: finest=3; allowed: 2, 4"):
        make_term("sdd_kd", finest=3)


def kd(student, teacher, label, t):
    p = softmax(teacher / t)
    return t * t * (p * (np.log(p) - log_softmax(student / t))).sum()


def dkd(student, teacher, label, t, alpha=1.0, beta=8.0):
    p, q = softmax(teacher / t), softmax(student / t)
    two = [np.array([x[label], 1 - x[label]]) for x in (p, q)]
    rest = [np.delete(x, label) / (1 - x[label]) for x in (p, q)]
    target, other = ((a * np.log(a / b)).sum() for a, b in (two, rest))
    return t * t * (alpha * target + beta * other)


def nkd(student, teacher, label, t, gamma=1.5):
    target = -softmax(teacher)[label] * log_softmax(student)[label]
    rest = softmax(np.delete(teacher, label) / t), log_softmax(np.delete(student, label) / t)
    return target - gamma * t * t * (rest[0] * rest[1]).sum()


def published(one, student, teacher, finest, t, **options):
    """The authors' masks, region by region: sum(loss · index) / (B · regions)."""
    ours, theirs = (parts(x, finest).astype(np.float64) for x in (student, teacher))
    total = 0.0
    for own, taught, label in zip(ours, theirs, LABELS, strict=True):
        whole_right = taught[0].argmax() == label
        for place in range(len(own)):
            local_right = taught[place].argmax() == label
            if place and whole_right and not local_right:
                index = 2.0  # global right, local wrong
            elif place and not whole_right and local_right:
                index = 2.0  # global wrong, local right
            else:
                index = 1.0
            total += index * one(own[place], taught[place], label, t, **options)
    return total / (len(ours) * ours.shape[1])


def inputs_of(student, teacher, label=LABELS):
    outputs = [Outputs(x.mean((1, 2)), {"class_maps": x}) for x in (student, teacher)]
    return TermInputs(outputs[0], {"teacher": outputs[1]}, {"label": label}, None, jnp.int32(0))


@pytest.mark.parametrize(
    ("name", "one", "options"),
    [("sdd_kd", kd, {}), ("sdd_dkd", dkd, {"alpha": 0.5, "beta": 6.0}), ("sdd_nkd", nkd, {"gamma": 3.0})],
)
@pytest.mark.parametrize(("sides", "finest"), [((8, 4), 4), ((7, 7), 2)])
def test_terms_are_those_of_the_authors_code(name, one, options, sides, finest):
    student, teacher = maps(sides[0], 1), maps(sides[1], 2)
    each = make_term(name, finest=finest, temperature=3.0, **options).loss(inputs_of(student, teacher))
    assert each.shape == (6,)
    np.testing.assert_allclose(each.mean(), published(one, student, teacher, finest, 3.0, **options), rtol=1e-4)


def test_complementary_parts_count_more_and_there_are_both_kinds():
    regions = parts(maps(8, 2), 4)
    weights = losses.region_weights(regions, LABELS, complementary=3.0)
    right = regions.argmax(-1) == LABELS[:, None]
    np.testing.assert_array_equal(weights, np.where(right == right[:, :1], 1.0, 3.0))
    assert {True, False} == set(right[:, 0].tolist())  # so that both ways to disagree are there
    assert (weights[right[:, 0]] == 3).any()
    assert (weights[~right[:, 0]] == 3).any()
    np.testing.assert_array_equal(losses.region_weights(regions, LABELS, complementary=1.0), 1.0)


def test_maps_that_are_the_same_everywhere_give_the_loss_of_the_whole():
    student, teacher = (np.broadcast_to(x[:, :1, :1], x.shape) for x in (maps(4, 1), maps(4, 2)))
    inputs = inputs_of(student, teacher)
    np.testing.assert_allclose(make_term("sdd_kd").loss(inputs), make_term("soft_target").loss(inputs), rtol=1e-4)


def test_no_gradient_reaches_the_teacher():
    def value(student, teacher):
        return make_term("sdd_dkd").loss(inputs_of(student, teacher)).sum()

    to_student, to_teacher = jax.grad(value, (0, 1))(jnp.asarray(maps(4, 1)), jnp.asarray(maps(4, 2)))
    assert np.abs(to_student).max() > 1e-3
    np.testing.assert_array_equal(to_teacher, 0)


def test_what_parts_cannot_be_told_by_is_refused():
    mixed = inputs_of(maps(4, 1), maps(4, 2), np.eye(5, dtype=np.float32)[LABELS])
    with pytest.raises(UserError, match="no mixup, no cutmix"):
        make_term("sdd_kd").loss(mixed)
    with pytest.raises(UserError, match="the teacher's class_maps are of 7 classes, the student's 5"):
        make_term("sdd_kd").loss(inputs_of(maps(4, 1), maps(4, 2, classes=7)))


@pytest.mark.parametrize("name", ["resnet8", "wrn_16_1", "vgg8", "shufflenet_v2", "efficientnet_lite0"])
def test_class_maps_average_to_the_logits(name):
    module = models.create(name, 5, taps=("class_maps",))
    images = RNG.normal(size=(2, 32, 32, 3)).astype(np.float32)

    def outputs(key, images):
        return module.init_with_output(key, images)[0]

    found = jax.jit(outputs, compiler_options={"xla_backend_optimization_level": 0})(jax.random.key(0), images)
    assert found.taps["class_maps"].dtype == jnp.float32
    np.testing.assert_allclose(found.taps["class_maps"].mean((1, 2)), found.logits, rtol=1e-4, atol=1e-4)


def test_class_maps_are_for_who_asks_by_name():
    module = models.create("resnet8", 5, taps=(".*",))
    outputs, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    assert "class_maps" not in outputs.taps
    for name in ("vit", "convnext_atto", "mobilenet_v3_small"):  # no average is what their classifiers read
        tapped = models.create(name, 5, taps=("class_maps",))
        with pytest.raises(UserError, match="'class_maps' matches no activation of this model"):
            jax.eval_shape(tapped.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
