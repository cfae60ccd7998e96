"""The network that answers questions: what padding, order, attention and dropout do to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError
from effjax.models.questions import QuestionEncoder

KEY = jax.random.key(0)
IMAGES = jax.random.normal(KEY, (3, 28, 28, 1))
QUESTIONS = jnp.array([[3, 4, 5, 0], [5, 4, 3, 0], [7, 0, 0, 0]])


@pytest.fixture(scope="module", params=["places", "gru"])
def network(request):
    module = models.create(
        "vqa_attention", 5, words=9, dim=8, hidden=6, widths=(7,), reader=request.param, taps=("attention", "question")
    )
    return module, module.init(KEY, IMAGES, QUESTIONS)


def test_it_has_the_parameters_that_it_says():
    module = models.create("vqa_attention", 52)
    shapes = jax.eval_shape(module.init, KEY, jnp.zeros((1, 42, 42, 1)), jnp.zeros((1, 12), int))
    grid, words = 196 * 64 + 64 + 64 * 64 + 64 + 9 * 64, 64 * 64 + 64 * 64
    reads, fuses = 64 * 128 + 128 + 64 * 64 + 64, 192 * 128 + 128 + 128 * 52 + 52
    assert models.count_params(shapes["params"]) == grid + words + reads + fuses


def test_room_for_more_words_changes_nothing(network):
    module, variables = network
    short = module.apply(variables, IMAGES, QUESTIONS)
    wide = module.apply(variables, IMAGES, jnp.pad(QUESTIONS, ((0, 0), (0, 5))))
    np.testing.assert_allclose(wide.logits, short.logits, atol=1e-6)
    none = module.apply(variables, IMAGES, jnp.zeros((3, 4), int)).taps["question"]
    np.testing.assert_array_equal(none, jnp.zeros_like(none))
    np.testing.assert_allclose(  # and images alone are images with such a question
        module.apply(variables, IMAGES).logits,
        module.apply(variables, IMAGES, jnp.zeros((3, 4), int)).logits,
        atol=1e-6,
    )


def test_examples_do_not_see_one_another(network):
    module, variables = network
    whole = module.apply(variables, IMAGES, QUESTIONS).logits
    alone = module.apply(variables, IMAGES[1:2], QUESTIONS[1:2]).logits
    np.testing.assert_allclose(alone, whole[1:2], atol=1e-5)


def test_the_order_of_words_can_matter(network):
    module, variables = network
    # Weights of places begin as 1; learning moves them.
    moved = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(KEY, x.shape), variables)
    question = module.apply(moved, IMAGES, QUESTIONS).taps["question"]
    assert float(jnp.abs(question[0] - question[1]).max()) > 1e-3


def test_attention_is_a_distribution_that_the_question_moves(network):
    module, variables = network
    same = jnp.repeat(IMAGES[:1], 3, 0)
    attention = module.apply(variables, same, QUESTIONS).taps["attention"]
    assert attention.shape == (3, 2, 4)
    np.testing.assert_allclose(attention.sum(-1), jnp.ones((3, 2)), atol=1e-5)
    assert float(jnp.abs(attention[0] - attention[2]).max()) > 1e-3


def test_dropout_is_by_key_and_gradients_are_finite(network):
    module, variables = network
    keys = jax.random.split(KEY, 3)
    one = module.apply(variables, IMAGES, QUESTIONS, dropout_keys=keys).logits
    np.testing.assert_array_equal(one, module.apply(variables, IMAGES, QUESTIONS, dropout_keys=keys).logits)
    assert not np.array_equal(one, module.apply(variables, IMAGES, QUESTIONS, dropout_keys=keys[::-1]).logits)
    loss = lambda v: jnp.square(module.apply(v, IMAGES, QUESTIONS, dropout_keys=keys).logits).sum()  # noqa: E731
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(loss)(variables)))


@pytest.mark.parametrize(("backbone", "stride", "side"), [("scnn", 2, 14), ("resnet8", 4, 8), ("vit", 4, 8)])
def test_any_backbone_makes_the_grid(backbone, stride, side):
    module = models.create("vqa_attention", 5, backbone=backbone, stride=stride, taps=("grid",), words=9)
    outputs, _ = jax.eval_shape(module.init_with_output, KEY, jnp.zeros((2, 32, 32, 3)), QUESTIONS[:2])
    assert outputs.taps["grid"].shape[:3] == (2, side, side)
    assert outputs.logits.shape == (2, 5)


def test_a_backbone_drops_by_the_key_of_its_example():
    module = models.create("vqa_attention", 5, backbone="scnn", stride=2, taps=("grid",), words=9)
    images, keys = jax.random.normal(KEY, (2, 8, 8, 3)), jax.random.split(KEY, 2)
    variables = module.init(KEY, images, QUESTIONS[:2])
    grids = [
        module.apply(variables, images, QUESTIONS[:2], train=True, dropout_keys=some).taps["grid"]
        for some in (None, keys)
    ]
    assert float(jnp.abs(grids[0] - grids[1]).max()) > 1e-3


def test_batch_statistics_of_a_backbone_are_kept():
    module = models.create("vqa_attention", 5, backbone="resnet8", stride=4, words=9)
    shapes = jax.eval_shape(module.init, KEY, jnp.zeros((2, 32, 32, 3)), QUESTIONS[:2])
    assert "backbone" in shapes["batch_stats"]


def test_stored_features_are_the_grid():
    module = models.create("vqa_attention", 5, backbone="stored", words=9, taps=("grid",))
    outputs, variables = module.init_with_output(KEY, IMAGES[:, :3, :2], QUESTIONS)
    np.testing.assert_array_equal(outputs.taps["grid"], IMAGES[:, :3, :2])
    assert "patches" not in variables["params"]


@pytest.mark.parametrize(
    ("options", "size", "message"),
    [
        ({"backbone": "resnet9"}, 28, "model option backbone='resnet9'.*did you mean 'resnet8'"),
        ({"backbone": "vqa_attention"}, 28, "model option backbone='vqa_attention'"),
        ({"backbone": "scnn", "stride": 8}, 28, "stride=8: the backbone has maps of stride 1, 2"),
        ({"backbone": "mlp"}, 28, "stride=32: the backbone has maps of stride none"),
        ({"reader": "lstm"}, 28, "model option reader='lstm': allowed: gru, places"),
        ({"words": 0}, 28, "model option words=0"),
        ({}, 30, "images of 30×30 pixels do not divide into patches of 14"),
    ],
)
def test_what_cannot_be_is_refused(options, size, message):
    with pytest.raises(UserError, match=message):
        models.create("vqa_attention", 5, **options).init(KEY, jnp.zeros((1, size, size, 1)), QUESTIONS[:1])


def test_a_question_is_the_sum_of_its_words_over_the_root_of_their_number():
    encoder, words = QuestionEncoder(9, 3, "places", jnp.float32), jax.random.normal(KEY, (9, 3))
    places = np.arange(1.0, 65.0)[:, None] * np.ones(3)
    question = encoder.apply({"params": {"embed": {"embedding": words}, "place_table": places}}, QUESTIONS)
    expected = [
        (words[3] + 2 * words[4] + 3 * words[5]) / np.sqrt(3),
        (words[5] + 2 * words[4] + 3 * words[3]) / np.sqrt(3),
        words[7],
    ]
    np.testing.assert_allclose(question, expected, rtol=1e-5)


def test_questions_of_another_form_are_refused():
    module = models.create("vqa_attention", 5)
    jax.eval_shape(module.init, KEY, IMAGES, jnp.zeros((3, 64), int))
    with pytest.raises(TypeError, match="questions must be integers"):
        module.init(KEY, IMAGES, QUESTIONS.astype(jnp.float32))
    with pytest.raises(ValueError, match="room for 65 words"):
        module.init(KEY, IMAGES, jnp.zeros((3, 65), int))


def test_at_the_scale_of_vqa_2_it_is_traced():
    options = {"backbone": "resnet50", "words": 15_000, "dim": 1024, "hidden": 1024, "reader": "gru"}
    module = models.create("vqa_attention", 3001, **options)
    image = jax.ShapeDtypeStruct((1, 448, 448, 3), jnp.float32)
    outputs, _ = jax.eval_shape(module.init_with_output, KEY, image, jax.ShapeDtypeStruct((1, 24), jnp.int32))
    assert outputs.logits.shape == (1, 3001)
