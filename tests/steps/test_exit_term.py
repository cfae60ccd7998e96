"""OFA's published exits against the authors' modules in numpy, how deep each is, and what cannot have one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, softmax
from toy import quick_jit

from effjax import losses, models
from effjax.errors import UserError
from effjax.models import Outputs
from effjax.steps import CachedTeacher, NetworkTeacher, Objective, init_state, make_optimizer, make_term
from effjax.steps.term import TermInputs

RNG = np.random.default_rng(2)
CLASSES, BATCH = 3, 4
LABELS = np.array([0, 2, 1, 1], np.int32)
TEACHER = RNG.normal(size=(BATCH, CLASSES)).astype(np.float32)
LOGITS = RNG.normal(size=(BATCH, CLASSES)).astype(np.float32)


def inputs_of(taps, params=None, width=7):
    student = Outputs(jnp.asarray(LOGITS), {name: jnp.asarray(x, jnp.float32) for name, x in taps.items()})
    teacher = Outputs(jnp.asarray(TEACHER), {"penultimate": jnp.zeros((BATCH, width))})
    return TermInputs(student, {"teacher": teacher}, {"label": jnp.asarray(LABELS)}, params, jnp.int32(0))


def drawn(term, taps, **options):
    """Parameters, away from where scales and biases begin."""
    params = term.init(jax.random.key(0), inputs_of(taps, **options))
    return jax.tree.map(lambda x: np.asarray(x) + RNG.normal(0, 0.3, x.shape).astype(np.float32), params)


def filtered(x, kernel, stride):
    """A 3×3 filter a channel, zeros around the map."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = (-(-side // stride) for side in x.shape[1:3])
    out = np.zeros((len(x), height, width, x.shape[-1]))
    for row in range(height):
        for column in range(width):
            window = padded[:, stride * row : stride * row + 3, stride * column : stride * column + 3]
            out[:, row, column] = (window * kernel[:, :, 0]).sum((1, 2))
    return out


def batch_norm(x, p):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-5) * p["scale"] + p["bias"]


def sep_conv(x, p):
    for i, stride in ((1, 2), (2, 1)):
        x = filtered(x, p[f"depthwise{i}"]["kernel"], stride)
        x = x @ p[f"pointwise{i}"]["kernel"][0, 0]
        x = np.maximum(batch_norm(x, p[f"norm{i}"]), 0)
    return x


def dense(x, p):
    return x @ p["kernel"] + p.get("bias", 0)


MAPS = {
    name: RNG.normal(size=(BATCH, side, side, width)) for name, side, width in (("a", 7, 2), ("b", 4, 3), ("c", 2, 5))
}
MAPS["penultimate"] = RNG.normal(size=(BATCH, 6))


def test_convolutions_are_those_of_the_authors_code():
    term = make_term("ofa", student_taps=("a", "b", "c"), exits="convolutions", power=1.5)
    params = drawn(term, MAPS)
    # 7 → 4 → 2, 4 → 2, and at the last stage a 1×1 convolution; to as many channels as the wider network has, 7.
    assert params["exit1"]["halving1"]["pointwise2"]["kernel"].shape == (1, 1, 2, 4)
    assert params["exit1"]["halving2"]["pointwise2"]["kernel"].shape == (1, 1, 4, 7)
    assert {name: set(own) for name, own in params.items()} == {
        "exit1": {"halving1", "halving2", "classifier"},
        "exit2": {"halving1", "classifier"},
        "exit3": {"conv", "classifier"},
    }
    found = [LOGITS]
    for number, name in enumerate("abc", start=1):
        p, x = params[f"exit{number}"], MAPS[name].astype(np.float32).astype(np.float64)
        for block in sorted(set(p) - {"conv", "classifier"}):
            x = sep_conv(x, p[block])
        if "conv" in p:
            x = x @ p["conv"]["kernel"][0, 0] + p["conv"]["bias"]
        found.append(dense(x.mean((1, 2)), p["classifier"]))
    expected = sum(losses.adaptive_target(x.astype(np.float32), TEACHER, LABELS, power=1.5) for x in found)
    np.testing.assert_allclose(quick_jit(term.loss)(inputs_of(MAPS, params)), expected, rtol=2e-4)


def test_maps_that_are_not_square_are_halved_to_the_height_of_the_last():
    taps = {"a": np.zeros((BATCH, 8, 2, 2)), "b": np.zeros((BATCH, 2, 4, 3))}
    term = make_term("ofa", student_taps=("a", "b"), exits="convolutions", channels=4)
    params = jax.eval_shape(term.init, jax.random.key(0), inputs_of(taps))
    assert [set(params[f"exit{number}"]) for number in (1, 2)] == [
        {"halving1", "halving2", "classifier"},
        {"conv", "classifier"},
    ]


def test_how_convolutions_are_drawn():
    """Normal of variance 2 / fan-out, which of a filter a channel is 9 · C in PyTorch; linear layers 0.02."""
    taps = {"a": np.zeros((BATCH, 4, 4, 64)), "b": np.zeros((BATCH, 2, 2, 64)), "penultimate": np.zeros((BATCH, 128))}
    params = make_term("ofa", student_taps=("a", "b"), exits="convolutions").init(jax.random.key(1), inputs_of(taps))
    halving, last = params["exit1"]["halving1"], params["exit2"]
    np.testing.assert_allclose(np.std(halving["depthwise1"]["kernel"]), (2 / (9 * 64)) ** 0.5, rtol=0.1)
    np.testing.assert_allclose(np.std(halving["pointwise2"]["kernel"]), (2 / 128) ** 0.5, rtol=0.1)
    np.testing.assert_allclose(np.std(params["exit1"]["classifier"]["kernel"]), 0.02, rtol=0.2)
    assert np.abs(last["conv"]["bias"]).max() < 1 / 8
    assert np.std(last["conv"]["bias"]) > 0.3 / 8


def layer_norm(x, p):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * p["scale"] + p["bias"]


def gelu(x):
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def block(x, p):
    """timm's, with four heads and no bias of queries, keys and values."""
    batch, count, width = x.shape
    qkv = dense(layer_norm(x, p["norm1"]), p["attention"]["qkv"]).reshape(batch, count, 3, 4, width // 4)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    mixed = softmax(q @ k.transpose(0, 1, 3, 2) * (width // 4) ** -0.5, -1) @ v
    x = x + dense(mixed.transpose(0, 2, 1, 3).reshape(x.shape), p["attention"]["out"])
    hidden = gelu(dense(layer_norm(x, p["norm2"]), p["mlp"]["dense1"]))
    return x + dense(hidden, p["mlp"]["dense2"])


def attention_exit(extra, grid, p, merges, blocks):
    for number in range(1, merges + 1):
        batch, height, width, channels = grid.shape
        merged = np.zeros((batch, height // 2, width // 2, 4 * channels))
        for place, (row, column) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
            merged[..., place * channels : (place + 1) * channels] = grid[:, row::2, column::2]
        grid = dense(layer_norm(merged, p[f"merge_norm{number}"]), p[f"merge{number}"])
        grid = gelu(grid) if number == 1 or number != merges else grid
    x = np.concatenate([extra, grid.reshape(len(grid), -1, grid.shape[-1])], 1)
    for number in range(1, blocks + 1):
        x = block(x, p[f"block{number}"])
    assert f"block{blocks + 1}" not in p
    return dense(x[:, 0] if extra.shape[1] else x.mean(1), p["classifier"])


@pytest.mark.parametrize("kind", ["vit", "swin"])
def test_attention_is_that_of_the_authors_code(kind):
    if kind == "vit":  # a class token before 4×4 patches, where the last tap has no fewer
        taps = {name: RNG.normal(size=(BATCH, 17, 8)) for name in "abc"}
        grids = [(x[:, :1], x[:, 1:].reshape(BATCH, 4, 4, 8)) for x in taps.values()]
        merges = (0, 0, 0)
    else:  # stages of 8×8, 4×4 and 2×2
        taps = {name: RNG.normal(size=(BATCH, s, s, w)) for name, s, w in (("a", 8, 2), ("b", 4, 4), ("c", 2, 8))}
        grids = [(np.zeros((BATCH, 0, 8)), x) for x in taps.values()]
        merges = (2, 1, 0)
    term = make_term("ofa", student_taps=("a", "b", "c"), exits="attention")
    params = drawn(term, taps)
    assert set(params["exit1"]["block1"]["attention"]["qkv"]) == {"kernel"}
    found = [LOGITS]
    for number, ((extra, grid), count) in enumerate(zip(grids, merges, strict=True), start=1):
        found.append(attention_exit(extra, grid, params[f"exit{number}"], count, max(3 - number, 1)))
    expected = sum(losses.adaptive_target(x.astype(np.float32), TEACHER, LABELS) for x in found)
    np.testing.assert_allclose(quick_jit(term.loss)(inputs_of(taps, params)), expected, rtol=1e-3)


def test_the_published_sizes():
    """ResNet-18 and DeiT-T at 224 pixels: 4 − stage of each, 14×14 patches merged once."""
    maps = {f"s{i}": np.zeros((1, 112 >> i, 112 >> i, 32 << i), np.float32) for i in (1, 2, 3, 4)}
    maps["penultimate"] = np.zeros((1, 512), np.float32)
    names = ("s1", "s2", "s3", "s4")

    def shapes(term, taps):
        return jax.eval_shape(lambda: term.init(jax.random.key(0), inputs_of(taps, width=192)))

    made = shapes(make_term("ofa", student_taps=names, exits="convolutions"), maps)
    halvings = [sum(name.startswith("halving") for name in made[f"exit{i}"]) for i in (1, 2, 3, 4)]
    assert halvings == [3, 2, 1, 0]
    assert [made[f"exit{i}"]["classifier"]["kernel"].shape for i in (1, 4)] == [(512, CLASSES)] * 2
    tokens = {name: np.zeros((1, 197, 192), np.float32) for name in names}
    made = shapes(make_term("ofa", student_taps=names, exits="attention"), tokens)
    blocks = [sum(name.startswith("block") for name in made[f"exit{i}"]) for i in (1, 2, 3, 4)]
    assert blocks == [3, 2, 1, 1]
    assert [name for name in made["exit4"] if name.startswith("merge")] == ["merge1", "merge_norm1"]
    assert made["exit1"]["merge1"]["kernel"].shape == (4 * 192, 192)


@pytest.mark.parametrize(
    ("options", "taps", "message"),
    [
        ({"exits": "convolution"}, {"a": (4,)}, r"terms\.ofa: exits='convolution'; .*did you mean 'convolutions'"),
        ({"channels": 8}, {"a": (4,)}, r"terms\.ofa: channels=8 must be above 0, with exits='convolutions' alone"),
        ({"exits": "convolutions", "channels": 8}, {"a": (5, 6)}, "'a' is no map, but"),
        ({"exits": "attention"}, {"a": (9, 9, 6), "b": (4, 4, 8)}, "9×9 patches, which cannot be merged two by two 1"),
        ({"exits": "attention"}, {"a": (4, 4, 6), "b": (4, 4, 8)}, "'a' has 6 channels, 'b' has 8"),
        ({"exits": "attention"}, {"a": (4, 4, 6)}, "'a' has 6 channels; exits='attention' have 4 heads"),
    ],
)
def test_what_has_no_exit(options, taps, message):
    inputs = inputs_of({name: np.zeros((BATCH, *shape)) for name, shape in taps.items()})
    with pytest.raises(UserError, match=message):
        make_term("ofa", student_taps=tuple(taps), **options).init(jax.random.key(0), inputs)


def test_mixed_images_have_no_one_label_to_raise():
    mixed = inputs_of({})._replace(batch={"label": np.eye(CLASSES, dtype=np.float32)[LABELS]})
    with pytest.raises(UserError, match="mixed images have several: no mixup, no cutmix"):
        make_term("ofa").loss(mixed)


def objective_of(student, taps, teacher, **options):
    terms = {"ofa": make_term("ofa", student_taps=taps, **options)}
    return Objective(models.create(student, CLASSES, **SMALL[student]), terms, {"teacher": teacher})


SMALL = {"resnet8": {"width": 0.25}, "vit": {"patch": 4, "dim": 8, "blocks": 2, "heads": 2}}
IMAGES = RNG.integers(0, 256, (BATCH, 16, 16, 3), dtype=np.uint8)


def values(objective, frozen):
    batch = {"image": IMAGES, "label": LABELS, "id": np.arange(BATCH, dtype=np.int32)}
    shapes = {"teacher": jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), frozen)}
    state = init_state(objective, make_optimizer("sgd", 0.1), 0, batch, frozen=shapes)
    given = state.params, state.model_state, {"teacher": frozen}, batch, state.seed, state.step
    return objective.evaluate(*given)[1][0]["ofa"]


def test_on_networks_of_both_kinds():
    conv, attention = (models.create(name, CLASSES, **options) for name, options in SMALL.items())
    frozen = models.init(attention, jax.random.key(0), IMAGES.shape[1:])
    taps = ("stage1", "stage2", "stage3")
    found = quick_jit(
        lambda f: values(objective_of("resnet8", taps, NetworkTeacher(attention), exits="convolutions"), f)
    )
    assert found(frozen).shape == (BATCH,)
    frozen = models.init(conv, jax.random.key(0), IMAGES.shape[1:])
    taps = ("block1/tokens", "block2/tokens")
    objective = objective_of("vit", taps, NetworkTeacher(conv), exits="attention")
    assert quick_jit(lambda f: values(objective, f))(frozen).shape == (BATCH,)


def test_stored_answers_do_where_the_channels_are_told():
    stored = {"logits": np.zeros((1, BATCH, CLASSES), np.float16)}
    taps, teacher = ("stage2", "stage3"), CachedTeacher(CLASSES)
    told = objective_of("resnet8", taps, teacher, exits="convolutions", channels=8)
    assert jax.eval_shape(lambda f: values(told, f), stored).shape == (BATCH,)
    with pytest.raises(UserError, match="only its logits are stored, not its activations penultimate"):
        jax.eval_shape(lambda f: values(objective_of("resnet8", taps, teacher, exits="convolutions"), f), stored)
