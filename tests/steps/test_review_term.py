"""ReviewKD: its authors' fused maps and value, and as a term."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import make_term
from effjax.steps.review_term import nearest
from effjax.steps.term import TermInputs

GOLDEN = dict(np.load(Path(__file__).parents[1] / "losses" / "goldens" / "review.npz"))
TAPS = {"student_taps": ("0", "1", "2"), "teacher_taps": ("0", "1", "2")}


def inputs_of(params):
    def outputs(side):
        maps = {str(i): GOLDEN[f"{side}{i}"].transpose(0, 2, 3, 1) for i in range(3)}
        return Outputs(None, {**maps, "2": maps["2"].reshape(2, -1)})  # the last are vectors

    return TermInputs(outputs("student"), {"teacher": outputs("teacher")}, {}, params, jnp.int32(0))


def golden_params():
    """The authors' parameters, where ours lie."""
    names = {
        "conv1.0.weight": ("conv1", "kernel"),
        "conv1.1.weight": ("norm1", "scale"),
        "conv1.1.bias": ("norm1", "bias"),
    }
    names |= {"conv2.0.weight": ("conv2", "kernel"), "conv2.1.weight": ("norm2", "scale")}
    names |= {"conv2.1.bias": ("norm2", "bias"), "att_conv.0.weight": ("attention", "kernel")}
    names |= {"att_conv.0.bias": ("attention", "bias")}
    params: dict = {f"layer{i}": {} for i in (1, 2, 3)}
    for key, array in GOLDEN.items():
        if key.startswith("params/"):
            number, name = key.removeprefix("params/").split(".", 1)
            module, leaf = names[name]
            own = params[f"layer{int(number) + 1}"].setdefault(module, {})
            own[leaf] = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
    return params


def test_it_is_that_of_its_authors():
    each = make_term("review", **TAPS).loss(inputs_of(golden_params()))
    assert each.shape == (2,)
    np.testing.assert_allclose(each.mean(), GOLDEN["value"], rtol=1e-5)


def test_its_parameters_are_drawn_as_they_are_read():
    drawn = make_term("review", **TAPS).init(jax.random.key(0), inputs_of(None))
    shapes = jax.tree.map(np.shape, golden_params())
    assert jax.tree.map(np.shape, drawn) == shapes
    fewer = make_term("review", most_channels=3, **TAPS).init(jax.random.key(0), inputs_of(None))
    assert fewer["layer1"]["conv2"]["kernel"].shape == (3, 3, 3, 5)
    # Uniform, of variance 1 / fan-in; of the last layer's 7 · 7 numbers.
    bound = (3 / 7) ** 0.5
    kernel = np.asarray(drawn["layer3"]["conv1"]["kernel"])
    assert np.abs(kernel).max() < bound
    assert np.abs(kernel).max() > 0.8 * bound


def test_nearest_repeats_and_leaves_out():
    maps = np.arange(9.0).reshape(1, 3, 3, 1)
    np.testing.assert_array_equal(nearest(maps, 6, 6), maps.repeat(2, 1).repeat(2, 2))
    np.testing.assert_array_equal(nearest(maps, 2, 2)[0, ..., 0], [[0, 1], [3, 4]])


def test_the_parts_of_a_batch_on_devices_are_one_batch():
    given = inputs_of(golden_params())
    term = make_term("review", **TAPS)
    expected = term.loss(given)

    def one(student, teachers):
        return term.loss(given._replace(student=student, teachers=teachers, axis_name="devices"))

    parts = jax.tree.map(lambda x: x.reshape(2, 1, *x.shape[1:]), (given.student, given.teachers))
    found = jax.vmap(one, axis_name="devices")(*parts)
    np.testing.assert_allclose(found.reshape(2), expected, rtol=1e-4)


def test_layers_must_be_named_in_pairs():
    with pytest.raises(UserError, match=r"terms\.review: student_taps \('a',\) and teacher_taps .*as many layers"):
        make_term("review", student_taps=("a",), teacher_taps=("a", "b"))
