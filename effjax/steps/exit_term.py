"""OFA: exits of the student, which learn from a teacher's answers whatever its architecture."""

from collections.abc import Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from effjax import losses
from effjax.errors import UserError, check_known
from effjax.steps.exits import HEADS, AttentionExit, ConvolutionalExit, LinearExit, split_tokens
from effjax.steps.feature_terms import tap_of
from effjax.steps.term import Term, TermInputs
from effjax.typing import PyTree

Scheduled = float | optax.Schedule

EXITS = ("attention", "convolutions", "linear")
_GRID = 7  # that the patches of an exit are merged to


def one_for_all(
    *,
    weight: Scheduled = 1.0,
    student_taps: tuple[str, ...] = (),
    exits: str = "linear",
    channels: int = 0,
    power: float = 1.0,
    temperature: Scheduled = 1.0,
    teacher: str = "teacher",
) -> Term:
    """OFA: a teacher of another architecture, convolutions for attention or the other way, by its answers alone.

    The student's logits, and those that an exit makes of each of ``student_taps``, first ones first, are compared with
    the teacher's. The published ``exits`` are ``convolutions``: separable ones, that halve a map to the size of the
    last tap's; and ``attention``: patches merged to a grid of 7×7, or of the last tap's if that has fewer, then so many
    blocks as there are taps behind it, one at least. Of a ViT they read the class token of ``block4/tokens``; of maps,
    ``block4`` or those of a Swin, the average. ``linear`` is a linear layer of the average alone. ``channels`` are
    those of the last map of ``convolutions``; 0: as published as many as the wider network's penultimate features have,
    for which a teacher must run beside the student.

    References:
      `One-for-All's code <https://github.com/Hao840/OFAKD>`_, ``distillers/ofa.py``.
    """
    check_known(exits, EXITS, f"exits={exits!r}")
    if channels < 0 or (channels and exits != "convolutions"):
        raise UserError(f"channels={channels!r} must be above 0, with exits='convolutions' alone")
    looks = ("penultimate",) if exits == "convolutions" and student_taps and not channels else ()

    def modules(inputs: TermInputs) -> list[tuple[nn.Module, Any]]:
        """The exits, each with what it reads."""
        classes = inputs.teachers[teacher].logits.shape[-1]
        read = [tap_of(inputs.student, tap) for tap in student_taps]
        if exits == "linear":
            return [(LinearExit(classes), x) for x in read]
        if exits == "attention":
            made = _of_attention(student_taps, read, classes)
        else:
            sides = (inputs.student, inputs.teachers[teacher])
            widest = max((tap_of(side, tap).shape[-1] for side in sides for tap in looks), default=channels)
            made = _of_convolutions(student_taps, read, classes, widest, inputs.axis_name)
        return list(zip(made, read, strict=True))

    def loss(inputs: TermInputs):
        t = temperature(inputs.step) if callable(temperature) else temperature
        taught, labels = inputs.teachers[teacher].logits, inputs.batch["label"]
        if labels.ndim != 1:
            raise UserError("the label's target is raised, and mixed images have several: no mixup, no cutmix")
        found = [inputs.student.logits]
        for number, (module, x) in enumerate(modules(inputs), start=1):
            found.append(cast(jax.Array, module.apply({"params": inputs.params[f"exit{number}"]}, x)))
        options = {"power": power, "temperature": t}
        return sum(losses.adaptive_target(logits, taught, labels, **options) for logits in found)

    def init(key: jax.Array, inputs: TermInputs) -> PyTree:
        drawn = {}
        for number, (module, x) in enumerate(modules(inputs), start=1):
            drawn[f"exit{number}"] = module.init(jax.random.fold_in(key, number), jnp.zeros(x.shape, x.dtype))["params"]
        return drawn

    return Term(loss, weight, (teacher,), (*student_taps, *looks), looks, init)


def _of_convolutions(
    taps: Sequence[str], read: Sequence[Any], classes: int, channels: int, axis_name: str | None
) -> list[nn.Module]:
    for tap, x in zip(taps, read, strict=True):
        if x.ndim != 4:
            raise UserError(f"{tap!r} is no map, but {x.shape[1:]}: exits='convolutions' read maps")
    halvings = [_halvings(x.shape[1], read[-1].shape[1]) for x in read]
    return [ConvolutionalExit(classes, count, channels, axis_name) for count in halvings]


def _halvings(size: int, last: int) -> int:
    count = 0
    while size > last:
        size, count = -(-size // 2), count + 1
    return count


def _of_attention(taps: Sequence[str], read: Sequence[Any], classes: int) -> list[nn.Module]:
    grids = [jax.eval_shape(lambda x: split_tokens(x)[1], jax.ShapeDtypeStruct(x.shape, x.dtype)).shape for x in read]
    channels, made = grids[-1][-1], []
    for number, (tap, (_, height, width, own)) in enumerate(zip(taps, grids, strict=True), start=1):
        count = _merges(height, min(_GRID, grids[-1][1]))
        if max(height, width) % 2**count or min(height, width) % 2**count:
            raise UserError(f"{tap!r} has {height}×{width} patches, which cannot be merged two by two {count} times")
        if not count and own != channels:
            raise UserError(f"{tap!r} has {own} channels, {taps[-1]!r} has {channels}, and no patches are merged")
        if channels % HEADS:
            raise UserError(f"{taps[-1]!r} has {channels} channels; exits='attention' have {HEADS} heads")
        made.append(AttentionExit(classes, count, channels, max(len(taps) - number, 1)))
    return made


def _merges(size: int, last: int) -> int:
    return max((size // last).bit_length() - 1, 0)  # the whole part of the logarithm
