"""Convolutions of oneDNN's within programs of XLA's: equal, with their gradients, wherever a network is applied."""

import functools
import importlib.metadata
import subprocess
import sys
import threading

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import models
from effjax.errors import UserError
from effjax.models import onednn
from effjax.models.convolutions import is_by_onednn
from effjax.models.depthwise import DepthwiseConv
from effjax.models.layers import conv_no_bias
from effjax.models.onednn import library
from effjax.models.onednn.operation import call
from effjax.models.onednn.planned import Spec
from effjax.steps import has_convolution

SHAPES = [  # images, kernel, strides, zeros at the sides, groups where there are several
    ((2, 9, 10, 12), (3, 3, 4, 6), (2, 1), ((1, 1), (0, 1)), 3),
    ((2, 11, 9, 10), (5, 5, 1, 10), (2, 2), ((2, 2), (1, 2)), 10),
    ((1, 6, 6, 4), (3, 3, 1, 8), (1, 1), ((1, 1), (1, 1)), 4),
    ((3, 28, 28, 1), (3, 3, 1, 16), (1, 1), ((1, 1), (1, 1))),
    ((2, 14, 15, 16), (3, 3, 16, 8), (2, 2), ((1, 1), (1, 1))),
    ((2, 9, 8, 5), (5, 3, 5, 7), (2, 1), ((0, 2), (1, 0))),
    ((4, 6, 6, 8), (1, 1, 8, 24), (2, 2), ((0, 0), (0, 0))),
    ((1, 4, 4, 3), (4, 4, 3, 2), (4, 4), ((0, 0), (0, 0))),
]


@pytest.fixture(autouse=True)
def installed():
    try:
        importlib.metadata.files(library.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("onednn-cpu-gomp is not installed")


def drawn(*shapes):
    rng = np.random.default_rng(sum(map(sum, shapes)))
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def by_xla(x, kernel, strides, pads, groups=1):
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": groups}
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, **options)


def with_gradients(function, x, kernel, weights, *window):
    def both(x, kernel):
        y, pull = jax.vjp(lambda x, kernel: function(x, kernel, *window), x, kernel)
        return y, *pull(weights)

    return jax.jit(both)(x, kernel)


@pytest.mark.parametrize(("images", "kernel", "window"), [(one[0], one[1], one[2:]) for one in SHAPES])
def test_values_and_gradients_are_those_of_xla(images, kernel, window):
    x, w = drawn(images, kernel)
    (weights,) = drawn(by_xla(x, w, *window).shape)
    expected = with_gradients(by_xla, x, w, weights, *window)
    found = with_gradients(onednn.convolution, x, w, weights, *window)
    again = with_gradients(onednn.convolution, x, w, weights, *window)
    for ours, theirs, second in zip(found, expected, again, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())
        np.testing.assert_array_equal(ours, second)


def test_each_of_several_networks_by_vmap():
    x, w = drawn((2, 3, 6, 6, 4), (2, 3, 3, 4, 5))
    window = (1, 1), ((1, 1), (1, 1))

    def loss(function, x, w):
        return (function(x, w, *window) ** 2).mean()

    of = lambda function: jax.jit(jax.vmap(jax.grad(functools.partial(loss, function), (0, 1))))(x, w)  # noqa: E731
    for ours, theirs in zip(of(onednn.convolution), of(by_xla), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_threads_take_turns():
    """Of one convolution there is one plan, whose arrays are told their places before each use."""
    convolve = functools.partial(onednn.convolution, strides=(1, 1), pads=((1, 1), (1, 1)))
    given = drawn((8, 16, 16, 8), (3, 3, 8, 8))
    programs = [jax.jit(convolve).lower(*given).compile() for _ in range(4)]
    inputs = [[array + number for array in given] for number in range(4)]
    expected = [program(*given) for program, given in zip(programs, inputs, strict=True)]
    wrong = []

    def repeat(number):
        for _ in range(30):
            if not np.array_equal(programs[number](*inputs[number]), expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=repeat, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Various(nn.Module):
    """Layers that oneDNN computes, and others."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Conv(8, (3, 3), name="ours")(x))
        x = nn.relu(nn.Conv(8, (3, 3), padding="VALID", strides=2, name="ours_too")(x))
        x = nn.relu(nn.Conv(8, (3, 3), feature_group_count=2, name="in_groups")(x))
        x = nn.relu(conv_no_bias(16, 3, 1, 4, dtype=jnp.float32, name="in_groups_too")(x))
        x = nn.relu(DepthwiseConv(3, name="depthwise")(x))
        x = nn.relu(nn.Conv(8, (3, 3), kernel_dilation=2, name="with_holes")(x))
        x = nn.Conv(8, (3, 3), dtype=jnp.bfloat16, name="of_few_bits")(x)
        return models.Outputs(nn.Dense(4)(x.astype(jnp.float32).mean((1, 2))), {})


NETWORKS = {
    "various": lambda: Various(),
    "resnet8": lambda: models.create("resnet8", 4, width=0.5, stem="imagenet"),
    "scnn": lambda: models.create("scnn", 4, width=0.25),
    "few bits": lambda: models.QuantizedModule(models.create("resnet8", 4, width=0.25), models.Scheme.parse("w8a8")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_learn_the_same(name):
    module, (x,) = NETWORKS[name](), drawn((4, 16, 16, 3))
    variables = jax.jit(module.init)(jax.random.key(0), x)

    def loss(params, by):
        with models.computed_by(by):
            outputs, _ = module.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
        return (outputs.logits * jnp.arange(4.0)).mean()

    step = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    expected, found = step(variables["params"], "xla"), step(variables["params"], "onednn")
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * np.abs(theirs).max())
    left = {"various": 2}.get(name, 0)
    forward = jax.jit(lambda params: loss(params, "onednn")).lower(variables["params"]).as_text()
    assert forward.count("stablehlo.convolution") == left
    is_rolled = functools.partial(has_convolution, lambda params: loss(params, "onednn"), variables["params"])
    assert is_rolled() is (left > 0)
    assert has_convolution(lambda params: loss(params, "xla"), variables["params"])


def test_what_is_counted_and_deployed_stays():
    module = models.create("resnet8", 4, width=0.5)
    variables, (x,) = models.init(module, jax.random.key(0), (8, 8, 3)), drawn((2, 8, 8, 3))
    plain, logits = models.flops(module, (8, 8, 3)), module.apply(variables, x).logits
    with models.computed_by("onednn"):
        assert models.flops(module, (8, 8, 3)) == plain
        graph = models.deploy(module, variables, (8, 8, 3))
    np.testing.assert_allclose(graph.apply(graph.fold(variables), x).logits, logits, rtol=1e-4, atol=1e-5)


def test_who_computes_is_known_within_and_as_it_was_afterwards():
    x, kernel = drawn((1, 4, 4, 1), (3, 3, 1, 1))
    assert not is_by_onednn(x, kernel)
    with models.computed_by("onednn"):
        assert is_by_onednn(x, kernel)
        with models.computed_by("xla"):
            assert not is_by_onednn(x, kernel)
        assert is_by_onednn(x, kernel, (1, 1))
        assert not is_by_onednn(x, kernel, (1, 2))
        assert not is_by_onednn(x[0], kernel)
        assert not is_by_onednn(x, kernel.astype(np.float16))
        assert not is_by_onednn(x.astype(np.float16), kernel)
    assert not is_by_onednn(x, kernel)
    with pytest.raises(ZeroDivisionError), models.computed_by("onednn"):
        1 / 0  # noqa: B018
    assert not is_by_onednn(x, kernel)


@pytest.mark.parametrize(("kernel", "groups"), [((3, 3, 3, 4), 1), ((3, 3, 2, 3), 2), ((3, 4, 4), 1)])
def test_a_kernel_that_does_not_fit_is_refused(kernel, groups):
    with pytest.raises(UserError, match=f"in {groups} groups: their channels do not fit"):
        onednn.convolution(jnp.zeros((1, 4, 4, 4)), jnp.zeros(kernel), (1, 1), ((0, 0), (0, 0)), groups)


def test_a_call_that_fails_ends_the_program_with_its_reason():
    x, w = drawn((1, 4, 4, 1), (3, 3, 1, 1))
    other = Spec("result", (1, 5, 4, 1), (3, 3, 1, 1), (1, 1), ((0, 0), (0, 0)))
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"\(\(1, 4, 4, 1\).* are not those of .*\[1, 5, 4, 1\]"):
        jax.jit(functools.partial(call, other))(x, w).block_until_ready()


_ENDING = """
import jax, jax.numpy as jnp
from effjax.models import onednn
from effjax.models.depthwise import DepthwiseConv
from effjax.models.layers import conv_no_bias
x, kernel = jnp.ones((8, 64, 64, 16)), jnp.ones((3, 3, 16, 16)) / 144
@jax.jit
def run(x):
    for _ in range(30):
        x = jnp.sin(onednn.convolution(x, kernel, (1, 1), ((1, 1), (1, 1))))
    return x
run(x).block_until_ready()
run(x)
print("dispatched", flush=True)
"""


def test_a_process_ends_while_a_program_runs():
    """What XLA calls is Python's, which no longer answers once it ends."""
    done = subprocess.run([sys.executable, "-c", _ENDING], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "dispatched\n"), done.stderr


def test_what_is_missing_is_said_with_what_helps(monkeypatch):
    onednn.check_usable()
    with pytest.raises(UserError, match=r"convolutions='onedn' is not known.*'onednn'"), models.computed_by("onedn"):
        pass
    library.library.cache_clear()

    def missing(_):
        raise importlib.metadata.PackageNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "files", missing)
        with pytest.raises(UserError, match="onednn-cpu-gomp is not installed: pip install 'effjax\\[onednn\\]'"):
            library.library()
        patch.setattr(importlib.metadata, "files", lambda _: [])
        with pytest.raises(UserError, match=r"holds no libdnnl.so.3; it is for Linux on x86"):
            library.library()
    assert library.library()
