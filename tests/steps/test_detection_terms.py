"""Terms of detectors: by hand, one place at a time, and whatever is padded, permuted or laid on devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from boxes.references import overlap, random_boxes
from toy import GRADIENT_ONLY, assert_close, quick_jit

from effjax import boxes, models
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import Objective, init_state, make_term, make_train_step
from effjax.steps.detection_terms import _near_centers
from effjax.steps.term import TermInputs
from effjax.tasks import DETECTION

TERMS = ("quality_focal", "box_giou")
SOFT = ("soft_detection", "soft_boxes")
CLASSES = 2


def places_of(*levels, size=(1, 1)):
    """All places of levels of (height, width), as a detector gives them."""
    found = []
    for height, width in levels:
        side = np.broadcast_to([1 / height, 1 / width], (height * width, 2))
        found.append(np.concatenate([boxes.grid_points(height, width), side], -1))
    return np.concatenate(found).astype(np.float32)


def targets(*images, room=3, crowd=None):
    """Of images that are lists of (box, label)."""
    batch = {
        "objects/bbox": np.zeros((len(images), room, 4), np.float32),
        "objects/label": np.full((len(images), room), -1, np.int32),
        "objects/valid": np.zeros((len(images), room), bool),
    }
    for i, image in enumerate(images):
        for j, (box, label) in enumerate(image):
            batch["objects/bbox"][i, j], batch["objects/label"][i, j] = box, label
            batch["objects/valid"][i, j] = True
    if crowd is not None:
        batch["objects/is_crowd"] = np.asarray(crowd)
    return batch


def run(name, preds, batch, axis_name=None, teacher=None, **options):
    return _run(name, axis_name, tuple(sorted(options.items())), preds, batch, teacher)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _run(name, axis_name, options, preds, batch, teacher):
    teachers = {} if teacher is None else {"teacher": Outputs(teacher, {})}
    inputs = TermInputs(Outputs(preds, {}), teachers, batch, (), jnp.int32(0), axis_name)
    return make_term(name, **dict(options)).loss(inputs)


def drawn(number, levels=((4, 4), (2, 2)), seed=0):
    """Random predictions at the places of levels."""
    rng, places = np.random.default_rng(seed), places_of(*levels)
    around = rng.uniform(0.3, 3, (number, len(places), 4)) * np.tile(places[:, 2:], 2)
    return {
        "logits": rng.normal(0, 2, (number, len(places), CLASSES)).astype(np.float32),
        "boxes": np.asarray(boxes.decode(places[:, :2], around.astype(np.float32))),
        "places": np.broadcast_to(places, (number, *places.shape)),
    }


def some_targets(number, room=3, seed=1):
    rng = np.random.default_rng(seed)
    return targets(
        *([(box, rng.integers(CLASSES)) for box in random_boxes(rng, i % (room + 1))] for i in range(1, number + 1)),
        room=room,
    )


BOX = [0.1, 0.1, 0.4, 0.4]
ONE_LEVEL = {
    "logits": np.zeros((2, 4, CLASSES), np.float32),
    "boxes": np.tile(np.array([0.1, 0.1, 0.4, 0.25], np.float32), (2, 4, 1)),  # half of the box
    "places": np.tile(places_of((2, 2)), (2, 1, 1)),
}
SURE_OF_NOTHING = 0.25 * np.log(2)  # probability ½ where 0 is true


def test_one_box_by_hand():
    batch = targets([(BOX, 1)], [])
    # Of the four places one is in the box; there the true class is given as high as the boxes overlap: ½.
    assert run("quality_focal", ONE_LEVEL, batch) == pytest.approx([7 * SURE_OF_NOTHING, 8 * SURE_OF_NOTHING])
    assert run("box_giou", ONE_LEVEL, batch) == pytest.approx([0.5, 0])
    assert run("quality_focal", ONE_LEVEL, batch, beta=1.0)[1] == pytest.approx(8 * 0.5 * np.log(2))


def test_the_sum_over_places_counts_by_the_mean_number_of_places_with_a_box():
    everywhere = [([0, 0, 1, 1], 0)]  # all four places are in it, within 1.5 strides of its centre
    batch = targets(everywhere, [])
    giou = [overlap([0.1, 0.1, 0.4, 0.25], [0, 0, 1, 1])[1]] * 4
    assert run("box_giou", ONE_LEVEL, batch) == pytest.approx([sum(1 - np.array(giou)) / 2, 0])
    both = run("box_giou", ONE_LEVEL, targets(everywhere, everywhere))
    assert both == pytest.approx([sum(1 - np.array(giou)) / 4] * 2)


@pytest.mark.parametrize("assignment", ["centers", "task_aligned"])
@pytest.mark.parametrize("name", TERMS)
def test_nothing_to_find_is_finite_and_so_is_its_gradient(name, assignment):
    preds, batch = drawn(2), targets([], [])
    loss = lambda preds: run(name, {**preds, "places": drawn(2)["places"]}, batch, assignment=assignment).sum()  # noqa: E731
    given = {key: jnp.asarray(preds[key]) for key in ("logits", "boxes")}
    value, gradient = jax.value_and_grad(loss)(given)
    assert np.isfinite(value)
    assert (value == 0) == (name == "box_giou")
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("assignment", ["centers", "task_aligned"])
@pytest.mark.parametrize("name", TERMS)
def test_neither_padding_nor_the_order_of_boxes_matters(name, assignment):
    preds, batch = drawn(5), some_targets(5)
    expected = run(name, preds, batch, assignment=assignment)
    assert float(np.ptp(expected)) > 0
    rng = np.random.default_rng(3)
    more = {
        "objects/bbox": np.concatenate([batch["objects/bbox"], random_boxes(rng, 5, 2)], 1),
        "objects/label": np.concatenate([batch["objects/label"], rng.integers(0, 2, (5, 2)).astype(np.int32)], 1),
        "objects/valid": np.concatenate([batch["objects/valid"], np.zeros((5, 2), bool)], 1),
    }
    order = rng.permuted(np.tile(np.arange(5), (5, 1)), axis=1)
    mixed = {key: np.stack([array[i, order[i]] for i in range(5)]) for key, array in more.items()}
    np.testing.assert_allclose(run(name, preds, mixed, assignment=assignment), expected, rtol=1e-5)


@pytest.mark.parametrize("assignment", ["centers", "task_aligned"])
@pytest.mark.parametrize("name", TERMS)
def test_crowds_are_no_objects(name, assignment):
    preds = drawn(1)
    one, crowd = ([0.1, 0.2, 0.6, 0.7], 0), ([0.0, 0.0, 0.9, 0.9], 1)
    expected = run(name, preds, targets([one]), assignment=assignment)
    found = run(name, preds, targets([one, crowd], crowd=[[False, True, False]]), assignment=assignment)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    alone = run(name, preds, targets([crowd], crowd=[[True, False, False]]), assignment=assignment)
    np.testing.assert_allclose(alone, run(name, preds, targets([]), assignment=assignment), rtol=1e-6)


def in_pixels(places, box, size, strides):
    """Which places FCOS gives a box to, by its own rules, in pixels."""
    y0, x0, y1, x1 = box * np.tile(size, 2)
    found = []
    for (y, x), stride in zip(places[:, :2] * size, strides, strict=True):
        distances = (y - y0, x - x0, y1 - y, x1 - x)
        near = max(abs(y - (y0 + y1) / 2), abs(x - (x0 + x1) / 2)) < 1.5 * stride
        least = 0 if stride == min(strides) else 4 * stride
        most = np.inf if stride == max(strides) else 8 * stride
        found.append(min(distances) > 0 and near and least <= max(distances) <= most)
    return found


@pytest.mark.parametrize("size", [(48, 48), (40, 96), (96, 40)])
def test_levels_have_boxes_of_their_size_in_images_of_any_form(size):
    strides, size = (2, 4, 8), np.array(size)
    levels = [tuple(size // stride) for stride in strides]
    places, number = places_of(*levels), 60
    each = np.repeat(strides, [h * w for h, w in levels])
    rng, given = np.random.default_rng(0), []
    while len(given) < number:
        sides = np.exp(rng.uniform(np.log(6), np.log(size), 2))
        corner = rng.uniform(0, size - sides)
        given.append(np.concatenate([corner, corner + sides]) / np.tile(size, 2))
    given = np.array(given, np.float32)
    match = jax.jit(jax.vmap(_near_centers, (None, 0, None)))(places, given[:, None], np.array([True]))
    expected = np.array([in_pixels(places, box, size, each) for box in given])
    assert (match.positive == expected).mean() > 0.9999  # a distance may be a stride's to the last bit
    counts = [expected[:, each == stride].any(1).sum() for stride in strides]
    assert min(counts) >= 4, counts
    assert expected.any(1).mean() > 0.9


def test_task_aligned_gives_classes_the_quality_that_the_assigner_says():
    preds, batch = drawn(3), some_targets(3)
    found = run("quality_focal", preds, batch, assignment="task_aligned")
    probs = np.asarray(jax.nn.sigmoid(preds["logits"]), np.float64)
    sums, count = [], 0
    for i in range(3):
        true, labels, valid = (batch[f"objects/{name}"][i] for name in ("bbox", "label", "valid"))
        given = preds["places"][i][:, :2], true, labels, valid, probs[i].astype(np.float32), preds["boxes"][i]
        match, quality = (jax.tree.map(np.asarray, x) for x in boxes.match_task_aligned(*given))
        target = np.zeros_like(probs[i])
        rows = np.nonzero(match.positive)[0]
        target[rows, labels[match.index[rows]]] = quality[rows]
        entropy = -target * np.log(probs[i]) - (1 - target) * np.log(1 - probs[i])
        sums.append((np.abs(target - probs[i]) ** 2 * entropy).sum())
        count += len(rows)
    np.testing.assert_allclose(found, np.array(sums) / max(count / 3, 1), rtol=1e-4)
    assert not np.allclose(found, run("quality_focal", preds, batch))


@pytest.mark.parametrize("name", [*TERMS, *SOFT])
def test_two_devices_count_places_as_one_does(name):
    preds, batch, teacher = drawn(4), some_targets(4), drawn(4, seed=9) if name in SOFT else None
    # Of the first two images and the last two, different numbers of places have a box.
    expected = run(name, preds, batch, teacher=teacher)
    halves = jax.tree.map(lambda x: np.reshape(x, (2, 2, *np.shape(x)[1:])), (preds, batch, teacher))
    mapped = jax.vmap(lambda p, b, t: run(name, p, b, "devices", teacher=t), axis_name="devices")
    np.testing.assert_allclose(mapped(*halves).reshape(4), expected, rtol=1e-5)
    alone = jax.vmap(lambda p, b, t: run(name, p, b, teacher=t))(*halves).reshape(4)
    assert not np.allclose(alone, expected, rtol=1e-3)


@pytest.mark.parametrize("name", SOFT)
def test_who_says_what_the_teacher_says_has_nothing_to_learn(name):
    preds = drawn(2)
    given = {key: jnp.asarray(preds[key]) for key in ("logits", "boxes")}
    loss = lambda given: run(name, {**given, "places": preds["places"]}, {}, teacher=preds).sum()  # noqa: E731
    value, gradient = jax.value_and_grad(loss)(given)
    assert value == pytest.approx(0, abs=1e-5)
    # At the very same boxes the loss has its edge, |x|'s; a little beside them it points away from them.
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    beside = {**given, "boxes": given["boxes"] + jnp.array([0.0, 0.0, 0.01, 0.01]), "logits": given["logits"] + 0.5}
    value, gradient = jax.value_and_grad(loss)(beside)
    assert value > 1e-3
    part = gradient["boxes"][..., 2:] if name == "soft_boxes" else gradient["logits"]
    assert (part >= 0).all()
    assert (part > 0).mean() > 0.9


@pytest.mark.parametrize("name", SOFT)
def test_teachers_get_no_gradient(name):
    student, teacher = drawn(2), drawn(2, seed=5)
    given = {key: jnp.asarray(teacher[key]) for key in ("logits", "boxes")}
    gradient = jax.grad(lambda given: run(name, student, {}, teacher={**given}).sum())(given)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(gradient))


def test_soft_boxes_by_hand():
    student = {"logits": np.zeros((1, 2, 1)), "boxes": np.array([[[0, 0, 1, 0.5], [0, 0, 1, 1]]], np.float32)}
    sure = np.array([0.75, 0.9])
    taught = {"logits": jax.scipy.special.logit(sure).reshape(1, 2, 1), "boxes": np.array([[[0, 0, 1, 1.0]] * 2])}
    assert run("soft_boxes", student, {}, teacher=taught) == pytest.approx([0.75 * 0.5 / 1.65])
    expected = sum((sure - 0.5) ** 2) * np.log(2) / 1.65
    assert run("soft_detection", student, {}, teacher=taught) == pytest.approx([expected])


@pytest.mark.parametrize("name", SOFT)
def test_other_strides_of_the_teacher_are_refused_in_one_line(name):
    with pytest.raises(
        ValueError, match=r"the student has \(places, classes\) \(20, 2\), the teacher \(16, 2\)"
    ) as found:
        run(name, drawn(1), {}, teacher=drawn(1, ((4, 4),)))
    assert "\n" not in str(found.value)


def test_an_assignment_that_is_none_is_refused():
    for name in TERMS:
        with pytest.raises(UserError, match=r"assignment='centres'.*did you mean 'centers'"):
            make_term(name, assignment="centres")


def test_devices_together_make_the_global_step():
    """Of a whole detector: batch statistics and counts of places are of all devices, gradients the global batch's."""
    rng, shape, count = np.random.default_rng(0), (16, 16, 1), 2
    batch = {"image": rng.integers(0, 256, (4, *shape), dtype=np.uint8), "id": np.arange(4, dtype=np.int32)}
    batch |= some_targets(4)

    def step(axis_name):
        student = models.create(
            "fcos", CLASSES, backbone="resnet8", width=0.25, strides=(4,), channels=4, convs=1, axis_name=axis_name
        )
        objective = Objective(student, {name: make_term(name) for name in TERMS}, metrics=DETECTION.metrics)
        return objective, make_train_step(objective, GRADIENT_ONLY, axis_name=axis_name)

    objective, alone = step(None)
    state = init_state(objective, GRADIENT_ONLY, 0, batch)
    expected, metrics = quick_jit(alone)(state, batch)
    shards = {name: array.reshape(count, -1, *array.shape[1:]) for name, array in batch.items()}
    over = jax.vmap(step("devices")[1], in_axes=(None, 0), out_axes=None, axis_name="devices", axis_size=count)
    actual, summed = quick_jit(over)(state, shards)
    assert_close(actual, expected, atol=1e-4)
    assert_close(summed, metrics, atol=1e-4)
