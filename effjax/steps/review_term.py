"""Knowledge review: each of the teacher's layers is learnt from the student's there and from all deeper ones."""

from collections.abc import Sequence
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from effjax import losses
from effjax.errors import UserError
from effjax.steps.feature_terms import check_layers, tap_of
from effjax.steps.regressors import BatchScaled
from effjax.steps.term import Term, TermInputs
from effjax.typing import PyTree

Scheduled = float | optax.Schedule

# Those of PyTorch's kaiming_uniform_ with a = 1, and of its convolutions if it is not told.
_LINEAR = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
_PLAIN = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def review(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    teacher_taps: tuple[str, ...] = (),
    most_channels: int = 512,
    teacher: str = "teacher",
) -> Term:
    """ReviewKD: fused from the deepest layer to the first, the student's maps are compared with the teacher's.

    Both name as many layers, the first ones first; vectors are maps of one pixel. Layers are fused with as many
    channels as the student's last has, ``most_channels`` at most.
    """
    check_layers(student_taps, teacher_taps)
    if most_channels < 1:
        raise UserError(f"most_channels={most_channels!r} must be 1 or more")

    def maps(inputs: TermInputs) -> tuple[list, list]:
        ours = [tap_of(inputs.student, tap) for tap in student_taps]
        theirs = [tap_of(inputs.teachers[teacher], tap) for tap in teacher_taps]
        return ours, theirs

    def loss(inputs: TermInputs):
        ours, theirs = ([_as_map(x) for x in side] for side in maps(inputs))
        module = _module(ours, theirs, most_channels, inputs.axis_name)
        fused = cast(list[jax.Array], module.apply({"params": inputs.params}, ours))
        return sum(losses.hierarchical_context(own, other) for own, other in zip(fused, theirs, strict=True))

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        ours, theirs = (
            [jax.eval_shape(_as_map, jax.ShapeDtypeStruct(x.shape, x.dtype)) for x in side] for side in maps(inputs)
        )
        module = _module(ours, theirs, most_channels, None)
        return module.init(key, [jnp.zeros(x.shape, x.dtype) for x in ours])["params"]

    return Term(loss, weight, (teacher,), tuple(student_taps), tuple(teacher_taps), init)


def _as_map(x: jax.Array) -> jax.Array:
    return x if x.ndim == 4 else x.reshape(len(x), 1, 1, -1)


def _module(ours: Sequence, theirs: Sequence, most_channels: int, axis_name: str | None) -> "_Review":
    sizes = tuple((x.shape[1], x.shape[2], x.shape[3]) for x in theirs)
    return _Review(sizes, min(most_channels, ours[-1].shape[-1]), axis_name)


class _Review(nn.Module):
    """The student's maps, fused from the last to the first, in the teacher's shapes ``(H, W, C)``."""

    shapes: tuple[tuple[int, int, int], ...]
    channels: int
    axis_name: str | None

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array]) -> list[jax.Array]:
        results, deeper = [], None
        for number in reversed(range(len(maps))):
            fuse = _Fusion(self.channels, self.shapes[number], self.axis_name, name=f"layer{number + 1}")
            result, deeper = fuse(maps[number], deeper)
            results.insert(0, result)
        return results


class _Fusion(nn.Module):
    """Attention-based fusion: a layer and what has been fused so far, each weighed place by place."""

    channels: int
    shape: tuple[int, int, int]
    axis_name: str | None

    @nn.compact
    def __call__(self, x: jax.Array, deeper: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        options = {"use_bias": False, "kernel_init": _LINEAR}
        x = nn.Conv(self.channels, (1, 1), name="conv1", **options)(x)
        x = BatchScaled(self.axis_name, name="norm1")(x)
        if deeper is not None:
            deeper = nearest(deeper, x.shape[1], x.shape[2])
            attention = nn.Conv(2, (1, 1), kernel_init=_PLAIN, name="attention")
            shares = nn.sigmoid(attention(jnp.concatenate([x, deeper], -1)))
            x = x * shares[..., :1] + deeper * shares[..., 1:]
        x = nearest(x, *self.shape[:2])
        y = nn.Conv(self.shape[2], (3, 3), padding=1, name="conv2", **options)(x)
        return BatchScaled(self.axis_name, name="norm2")(y), x


def nearest(maps: jax.Array, height: int, width: int) -> jax.Array:
    """Maps ``[B, H, W, C]`` at another size: each place has the value of the one that it begins in, as PyTorch's."""
    rows, columns = (jnp.arange(size) * old // size for size, old in ((height, maps.shape[1]), (width, maps.shape[2])))
    return maps[:, rows][:, :, columns]
