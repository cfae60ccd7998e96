"""Small objectives, batches and references that the tests of the steps share."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from effjax import models
from effjax.models import Outputs
from effjax.steps import Objective, View, init_state, make_term, make_train_step

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


def linear_teacher(frozen, batch, images):
    """A teacher that is one matrix."""
    return Outputs(images.reshape(len(images), -1) @ frozen, {})


def teacher_matrix(batch, classes=CLASSES, seed=0):
    pixels = int(np.prod(batch["image"].shape[1:]))
    return np.random.default_rng(seed).normal(0, 0.3, (pixels, classes)).astype(np.float32)


def make_objective(model="mlp", terms=("ce",), *, axis_name=None, view=None, trainable=".*", **options):
    name, defaults = MODELS[model]
    if axis_name is not None:
        options["axis_name"] = axis_name
    terms = {term: make_term(term) for term in terms} if not isinstance(terms, dict) else terms
    return Objective(
        student=models.create(name, CLASSES, **{**defaults, **options}),
        terms=terms,
        teachers={"teacher": linear_teacher} if any(term.teachers for term in terms.values()) else {},
        view=view or View(),
        trainable=trainable,
    )


def make_state(objective, optimizer, batch, seed=3, **options):
    # Jitted: flax's init runs operation by operation otherwise.
    init = jax.jit(lambda seed: init_state(objective, optimizer, seed, batch, **options))
    state = init(jnp.uint32(seed))
    if objective.teachers:
        state = state.replace(frozen={name: teacher_matrix(batch) for name in objective.teachers})
    return state


def gradient_step(objective, **options):
    """The compiled step whose new ``opt_state.trace`` is the gradient."""
    return jax.jit(make_train_step(objective, GRADIENT_ONLY, **options))


def assert_close(actual, expected, atol=1e-6):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=1e-5, err_msg=jax.tree_util.keystr(path))


def largest_difference(a, b):
    return max(float(np.abs(np.asarray(x) - np.asarray(y)).max()) for x, y in zip(*map(jax.tree.leaves, (a, b))))
