"""AB, OFD, FT and FSP as terms: the authors' own numbers, what learns from what, what is refused."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import losses
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import make_term
from effjax.steps.term import TermInputs

GOLDEN = dict(np.load(Path(__file__).parents[1] / "losses" / "goldens" / "two_stages.npz"))
RNG = np.random.default_rng(6)


def golden(name):
    """An array, with its channels last; a kernel as ``[height, width, in, out]``."""
    array = GOLDEN[name]
    if name.endswith("weight") and array.ndim == 4:
        if "decoder" in name:  # transposed: from in to out, and turned
            return array[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
        return array.transpose(2, 3, 1, 0)
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def inputs(student, teacher, params=None, axis_name=None):
    """What a term sees of activations by name."""
    made = [{path: jnp.asarray(x) for path, x in taps.items()} for taps in (student, teacher)]
    student, teacher = (Outputs(jnp.zeros((1, 2)), taps) for taps in made)
    return TermInputs(student, {"teacher": teacher}, {}, params, jnp.int32(0), axis_name)


def drawn(term, seen):
    return term.init(jax.random.key(0), seen)


def taps(part):
    return [{f"l{i}": golden(f"{part}/{side}{i}") for i in range(3)} for side in ("student", "teacher")]


LAYERS = {"student_taps": ("l0", "l1", "l2"), "teacher_taps": ("l0", "l1", "l2")}


def test_boundaries_are_repdistillers_through_its_connectors():
    term, seen = make_term("ab", weight=0.003, **LAYERS), inputs(*taps("ab"))
    params = {
        f"layer{i + 1}": {
            "regressor": {"kernel": golden(f"ab/connectors.{i}.conv.weight")},
            "norm": {"scale": golden(f"ab/connectors.{i}.bn.weight"), "bias": golden(f"ab/connectors.{i}.bn.bias")},
        }
        for i in (1, 2)  # the first layer's shapes agree
    }
    assert jax.tree.map(jnp.shape, drawn(term, seen)) == jax.tree.map(np.shape, params)
    value = term.weight * term.loss(seen._replace(params=params)).mean()
    np.testing.assert_allclose(value, GOLDEN["ab/value"], rtol=1e-5)


def factor_params():
    paraphraser = {
        f"{way}coder{number + 1}": {
            "kernel": golden(f"ft/paraphraser.{way}coder.{3 * number}.weight"),
            "bias": golden(f"ft/paraphraser.{way}coder.{3 * number}.bias"),
        }
        for way in ("en", "de")
        for number in range(3)
    }
    translator = {}
    for number in range(3):
        name = f"ft/translator.encoder.{3 * number}"
        norm = f"ft/translator.encoder.{3 * number + 1}"
        translator[f"encoder{number + 1}"] = {"kernel": golden(f"{name}.weight")}
        translator[f"norm{number + 1}"] = {"scale": golden(f"{norm}.weight"), "bias": golden(f"{norm}.bias")}
    return jax.tree.map(jnp.asarray, {"paraphraser": paraphraser, "translator": translator})


FT = {"student_tap": "map", "teacher_tap": "map"}


def test_factors_are_repdistillers():
    seen, params = inputs({"map": golden("ft/student")}, {"map": golden("ft/teacher")}), factor_params()
    values = []
    for reconstruction in (1e-9, 1.0):
        term = make_term("ft", reconstruction=reconstruction, **FT)
        assert jax.tree.map(jnp.shape, drawn(term, seen)) == jax.tree.map(jnp.shape, params)
        values.append(term.loss(seen._replace(params=params)).mean())
    np.testing.assert_allclose(values[0], GOLDEN["ft/value"], rtol=1e-5)
    np.testing.assert_allclose(values[1] - values[0], GOLDEN["ft/lost"], rtol=1e-5)


def test_a_paraphraser_learns_what_it_lost_and_nobody_else_does():
    seen, term = inputs({"map": golden("ft/student")}, {"map": golden("ft/teacher")}), make_term("ft", **FT)

    def loss(params, student, reconstruction):
        seen.student.taps["map"] = student
        term = make_term("ft", reconstruction=reconstruction, **FT)
        return term.loss(seen._replace(params=params)).sum()

    given = drawn(term, seen), seen.student.taps["map"]
    once, twice = (jax.grad(loss, argnums=(0, 1))(*given, times) for times in (1.0, 2.0))
    jax.tree.map(
        lambda one, two: np.testing.assert_allclose(two, 2 * one, rtol=1e-4, atol=1e-7),
        once[0]["paraphraser"],
        twice[0]["paraphraser"],
    )
    for alone in (lambda grads: grads[0]["translator"], lambda grads: grads[1]):
        jax.tree.map(lambda one, two: np.testing.assert_allclose(two, one, rtol=1e-5), alone(once), alone(twice))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(once))


def test_overhaul_is_the_distance_of_connected_maps():
    student = {"l0": RNG.normal(size=(4, 6, 6, 3)), "l1": RNG.normal(size=(4, 2, 2, 5))}
    teacher = {"l0": RNG.normal(size=(4, 6, 6, 4)), "l1": RNG.normal(size=(4, 4, 4, 2))}
    seen = inputs(*({k: x.astype(np.float32) for k, x in side.items()} for side in (student, teacher)))
    term = make_term("ofd", student_taps=("l0", "l1"), teacher_taps=("l0", "l1"))
    params = drawn(term, seen)
    params = jax.tree.map(lambda x: jnp.asarray(RNG.normal(size=x.shape), x.dtype), params)
    expected = 0.0
    for number, name in enumerate(("l0", "l1")):
        own = params[f"layer{number + 1}"]
        y = student[name] @ np.asarray(own["conv"]["kernel"][0, 0])
        y = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5) * own["norm"]["scale"] + own["norm"]["bias"]
        taught = teacher[name]
        margin = np.array([taught[..., c][taught[..., c] < 0].mean() for c in range(taught.shape[-1])])
        if name == "l1":  # four places are one
            taught = taught.reshape(4, 2, 2, 2, 2, -1).mean((2, 4))
        expected += losses.partial_l2(y, taught, margin) / (2, 1)[number]
    np.testing.assert_allclose(term.loss(seen._replace(params=params)), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["ab", "ofd", "ft"])
def test_a_batch_over_devices_is_one_batch(name):
    sides = [{"map": RNG.normal(size=(8, 4, 4, channels)).astype(np.float32)} for channels in (3, 5)]
    options = FT if name == "ft" else {"student_taps": ("map",), "teacher_taps": ("map",)}
    term = make_term(name, **options)
    params = drawn(term, inputs(*sides))

    def loss(student, teacher, axis_name=None):
        return term.loss(inputs({"map": student}, {"map": teacher}, params, axis_name))

    student, teacher = (side["map"] for side in sides)
    over = jax.vmap(partial(loss, axis_name="devices"), axis_name="devices")
    found = over(*(x.reshape(4, 2, *x.shape[1:]) for x in (student, teacher)))
    np.testing.assert_allclose(found.reshape(8), loss(student, teacher), rtol=2e-4, atol=1e-5)


def refused(name, student=(2, 4, 4, 3), teacher=(2, 4, 4, 5), **options):
    term = make_term(name, **options)
    seen = inputs({"map": np.ones(student), "l0": np.ones(student)}, {"map": np.ones(teacher), "l0": np.ones(teacher)})
    jax.eval_shape(lambda key: drawn(term, seen), jax.random.key(0))


TWO = {"student_taps": ("map", "l0"), "teacher_taps": ("map", "l0")}
ONE = {"student_taps": ("map",), "teacher_taps": ("map",)}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fsp", TWO, "'map' has 3 channels, the teacher's 'map' 5: it compares layers of as many channels"),
        ("fsp", {**TWO, "student": (2, 5)}, "'map' and 'map' must be maps"),
        ("fsp", {**TWO, "teacher": (2, 3)}, "'map' and 'map' must be maps"),
        ("fsp", ONE, "must name as many layers, 2 or more"),
        ("fsp", {}, "must name as many layers, 2 or more"),
        ("fsp", {**TWO, "teacher_taps": ("map",)}, "must name as many layers, 2 or more"),
        ("fsp", {**TWO, "form": "code"}, "form='code'; allowed: mean, paper"),
        ("kdsvd", TWO, "'map' has 3 channels, the teacher's 'map' 5: it compares layers of as many channels"),
        ("kdsvd", {**TWO, "form": "columns", "teacher": (2, 4, 3, 5)}, "has 4 columns, the teacher's 'map' 3"),
        ("kdsvd", {**TWO, "form": "rows"}, "form='rows'; allowed: channels, columns"),
        ("ab", {}, "must name as many layers"),
        ("ab", {**TWO, "teacher_taps": ("map",)}, "must name as many layers"),
        ("ab", {**ONE, "student": (2, 5)}, "'map' and 'map' must be maps"),
        ("ab", {**ONE, "margin": 0.0}, "margin=0.0 must be above 0"),
        ("ab", {**ONE, "student": (2, 3, 3, 3)}, "is smaller than the teacher's .*, and not half as large"),
        ("ofd", {}, "must name as many layers"),
        ("ofd", {**ONE, "teacher": (2, 5)}, "'map' and 'map' must be maps"),
        ("ft", {"teacher_tap": "map"}, "student_tap is missing: the path of an activation"),
        ("ft", {"student_tap": "map"}, "teacher_tap is missing: the path of an activation"),
        ("ft", {**FT, "student": (2, 5)}, "'map' and 'map' must be maps"),
        ("ft", {**FT, "rate": 0.0}, "rate=0.0 must be above 0"),
        ("ft", {**FT, "reconstruction": 0.0}, "reconstruction=0.0 must be above 0"),
        ("ft", {**FT, "form": "code"}, "form='code'; allowed: paper, repdistiller"),
    ],
)
def test_what_does_not_fit_is_said(name, options, message):
    with pytest.raises(UserError, match=message):
        refused(name, **options)


def test_channels_are_compared_behind_a_connector():
    seen = inputs(*({"map": RNG.normal(size=(4, 3, 3, c)).astype(np.float32)} for c in (3, 5)))
    term = make_term("ickd", student_tap="map", teacher_tap="map")
    params = jax.tree.map(lambda x: jnp.asarray(RNG.normal(size=x.shape), x.dtype), drawn(term, seen))
    own, student = params["layer1"], np.asarray(seen.student.taps["map"])
    y = student @ np.asarray(own["conv"]["kernel"][0, 0])
    y = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5) * own["norm"]["scale"] + own["norm"]["bias"]
    expected = losses.channel_correlation(y, seen.teachers["teacher"].taps["map"])
    np.testing.assert_allclose(term.loss(seen._replace(params=params)), expected, rtol=1e-4)
