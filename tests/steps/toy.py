"""Small objectives, batches and references that the tests of the steps share."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from effjax import models
from effjax.models import Outputs
from effjax.steps import Objective, TrainState, View, make_term, make_train_step
from effjax.tasks import CLASSIFICATION

# What runs once is not worth optimising.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

CLASSES = 3
GRADIENT_ONLY = optax.trace(decay=0.0)  # "optimiser" whose state is the gradient, to the bit

MODELS = {
    "mlp": ("mlp", {"widths": (7,)}),
    "mlp_dropout": ("mlp", {"widths": (7,), "dropout": 0.3}),
    "scnn": ("scnn", {"width": 0.125}),
    "resnet8": ("resnet8", {"width": 0.25}),
}


def make_batch(size=8, shape=(8, 8, 1), seed=0):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (size, *shape), dtype=np.uint8),
        "label": rng.integers(0, CLASSES, size).astype(np.int32),
        "id": rng.choice(1000, size, replace=False).astype(np.int32),
    }


def linear_teacher(frozen, batch):
    """A teacher that is one matrix."""
    images = batch["image"]
    return Outputs(images.reshape(len(images), -1) @ frozen, {})


def teacher_matrix(batch, classes=CLASSES, seed=0):
    pixels = int(np.prod(batch["image"].shape[1:]))
    return np.random.default_rng(seed).normal(0, 0.3, (pixels, classes)).astype(np.float32)


def make_objective(model="mlp", terms=("ce",), *, axis_name=None, view=None, views=None, trainable=".*", **options):
    name, defaults = MODELS[model]
    if axis_name is not None:
        options["axis_name"] = axis_name
    terms = {term: make_term(term) for term in terms} if not isinstance(terms, dict) else terms
    return Objective(
        student=models.create(name, CLASSES, **{**defaults, **options}),
        terms=terms,
        teachers={"teacher": linear_teacher} if any(term.teachers for term in terms.values()) else {},
        view=view or View(),
        views=views or {},
        trainable=trainable,
        metrics=CLASSIFICATION.metrics,
        outcome=CLASSIFICATION.outcome,
    )


@cache
def variables_of(student, seed, shape):
    return models.init(student, jax.random.key(seed), shape)


def make_state(objective, optimizer, batch, seed=3, *, ema=False):
    """As ``init_state`` makes it, but for the draws of the parameters; compiled once a model."""
    variables = dict(variables_of(objective.student, seed, batch["image"].shape[1:]))
    params = {"student": variables.pop("params")}
    return TrainState(
        step=jnp.int32(0),
        seed=jnp.uint32(seed),
        params=params,
        model_state=variables,
        opt_state=optimizer.init(params),
        ema=params if ema else (),
        frozen={name: teacher_matrix(batch) for name in objective.teachers},
    )


def shapes_of(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def gradient_step(objective, **options):
    """The compiled step whose new ``opt_state.trace`` is the gradient."""
    return quick_jit(make_train_step(objective, GRADIENT_ONLY, **options))


def assert_close(actual, expected, atol=1e-6):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-5, err_msg=jax.tree_util.keystr(path))


def largest_difference(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda x, y: float(np.abs(np.asarray(x) - np.asarray(y)).max()), a, b)))
