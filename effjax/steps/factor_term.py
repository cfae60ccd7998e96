"""Factor transfer: a student's map, translated, against a teacher's, paraphrased; both are learnt."""

from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from effjax import losses
from effjax.errors import UserError, check_known
from effjax.numerics import at_least_float32
from effjax.steps.feature_terms import check_named, pair_of
from effjax.steps.regressors import PYTORCHS, BatchScaled
from effjax.steps.term import Term, TermInputs
from effjax.typing import PyTree

Scheduled = float | optax.Schedule

# PyTorch's transposed convolutions count what goes out.
_OUT = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")


def factors(
    *,
    weight: Scheduled = 1.0,
    student_tap: str = "",
    teacher_tap: str = "",
    rate: float = 0.5,
    reconstruction: float = 1.0,
    form: str = "repdistiller",
    teacher: str = "teacher",
) -> Term:
    """FT: where the student's translated map is large, against where the teacher's paraphrase is.

    A paraphraser of six convolutions narrows the teacher's map to ``rate`` of its channels, and learns to give back
    what it was: ``reconstruction`` times the mean squared difference is added. It feels that alone, and nobody else
    does. ``form`` is that of :func:`effjax.losses.factor_transfer`. As published it is trained first, by a plan of what
    is trainable: ``<term>/paraphraser/.*``, then ``student/.*|<term>/translator/.*``.
    """
    check_named(student_tap, teacher_tap)
    if not rate > 0:
        raise UserError(f"rate={rate!r} must be above 0")
    if not reconstruction > 0:
        raise UserError(f"reconstruction={reconstruction!r} must be above 0")
    check_known(form, ("repdistiller", "paper"), f"form={form!r}")

    def modules(taught: jax.Array, axis_name: str | None) -> tuple["_Paraphraser", "_Translator"]:
        channels = taught.shape[-1]
        narrow = max(1, int(channels * rate))
        return _Paraphraser(channels, narrow), _Translator(narrow, axis_name)

    def pair(inputs: TermInputs) -> tuple[jax.Array, jax.Array]:
        found = pair_of(inputs, teacher, student_tap, teacher_tap)
        if any(len(x.shape) != 4 for x in found):
            raise UserError(f"{student_tap!r} and {teacher_tap!r} must be maps")
        return found

    def loss(inputs: TermInputs):
        student, taught = pair(inputs)
        taught = jax.lax.stop_gradient(taught)
        paraphraser, translator = modules(taught, inputs.axis_name)
        paraphrased = paraphraser.apply({"params": inputs.params["paraphraser"]}, taught)
        factor, again = cast(tuple[jax.Array, jax.Array], paraphrased)
        own = cast(jax.Array, translator.apply({"params": inputs.params["translator"]}, student))
        lost = jnp.square(at_least_float32(again) - at_least_float32(taught)).reshape(len(taught), -1).mean(-1)
        return losses.factor_transfer(own, factor, form=form) + reconstruction * lost

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        student, taught = pair(inputs)
        drawn = {}
        made = zip(("paraphraser", "translator"), modules(taught, None), (taught, student), strict=True)
        for number, (name, module, x) in enumerate(made):
            drawn[name] = module.init(jax.random.fold_in(key, number), jnp.zeros(x.shape, x.dtype))["params"]
        return drawn

    return Term(loss, weight, (teacher,), (student_tap,), (teacher_tap,), init)


class _Paraphraser(nn.Module):
    """An autoencoder of 3×3 convolutions; returns what it narrows a map to, and what it makes of that again."""

    channels: int
    narrow: int

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        for number, channels in enumerate((self.channels, self.narrow, self.narrow), start=1):
            x = _leaky(nn.Conv(channels, (3, 3), padding=1, kernel_init=PYTORCHS, name=f"encoder{number}")(x))
        factor = x
        # Transposed convolutions of stride 1 are convolutions.
        for number, channels in enumerate((self.narrow, self.channels, self.channels), start=1):
            x = _leaky(nn.Conv(channels, (3, 3), padding=1, kernel_init=_OUT, name=f"decoder{number}")(x))
        return factor, x


class _Translator(nn.Module):
    """Three normalised 3×3 convolutions, from a student's map to a factor."""

    narrow: int
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        options = {"kernel_size": (3, 3), "padding": 1, "use_bias": False, "kernel_init": PYTORCHS}
        for number, channels in enumerate((x.shape[-1], self.narrow, self.narrow), start=1):
            y = nn.Conv(channels, name=f"encoder{number}", **options)(x)
            x = _leaky(BatchScaled(self.axis_name, name=f"norm{number}")(y))
        return x


def _leaky(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.1)
