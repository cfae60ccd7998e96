"""Networks of flax.nnx in the places of flax.linen's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from effjax.errors import UserError
from effjax.models.nnx_module import NnxModule, nnx_variables
from effjax.models.own import Own
from effjax.steps import Objective, init_state, make_term, make_train_step

quick_jit = {"xla_backend_optimization_level": 0}
draw = np.random.default_rng(0)
BATCH = {
    "image": draw.integers(0, 256, (8, 6, 6, 1), np.uint8),
    "label": draw.integers(0, 3, 8).astype(np.int32),
    "id": np.arange(8, dtype=np.int32),
}


class Net(nnx.Module):
    def __init__(self, rngs, rate=0.0):
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])
        self.drop = nnx.Dropout(rate, rngs=rngs) if rate else None

    def __call__(self, x):
        x = nnx.relu(self.norm(self.conv(x))).mean((1, 2))
        for layer in self.layers:
            x = layer(x)
        x = self.drop(x) if self.drop else x
        return x[:, :3]


def student(make=Net):
    return Objective(Own(NnxModule(make), 3), {"ce": make_term("ce")})


def test_a_student_learns_as_flax_nnx_would_have_it_learn():
    objective, optimizer = student(), optax.sgd(0.1)
    state = init_state(objective, optimizer, 0, BATCH)
    step = jax.jit(make_train_step(objective, optimizer), compiler_options=quick_jit)
    net = Net(nnx.Rngs(7))
    state = state.replace(params={"student": nnx_variables(net)["params"]})
    net.train()
    images = BATCH["image"] / np.float32(255)
    for _ in range(2):
        state, metrics = step(state, BATCH)

        def loss(net):
            return optax.softmax_cross_entropy_with_integer_labels(net(images), BATCH["label"]).mean()

        expected, gradient = nnx.value_and_grad(loss)(net)
        nnx.update(net, jax.tree.map(lambda p, g: p - 0.1 * g, nnx.state(net, nnx.Param), gradient))
        np.testing.assert_allclose(metrics["loss"].compute(), expected, rtol=1e-5)
    found = {"params": state.params["student"], **state.model_state}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, nnx_variables(net))


def test_seeds_draw_different_parameters_of_one_layout():
    first, second, again = (init_state(student(), optax.sgd(0.1), seed, BATCH).params for seed in (0, 1, 0))
    kernels = [params["student"]["layers"]["1"]["kernel"] for params in (first, second, again)]
    assert not np.allclose(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], kernels[2])


def test_what_draws_at_random_is_evaluated_and_not_trained():
    module = NnxModule(lambda rngs: Net(rngs, rate=0.5))
    images = jnp.ones((2, 6, 6, 1))
    variables = module.init(jax.random.key(0), images)
    np.testing.assert_array_equal(module.apply(variables, images), module.apply(variables, images))
    with pytest.raises(UserError, match="draws at random"):
        module.apply(variables, images, train=True, mutable=["batch_stats"])
