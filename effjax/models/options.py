"""Checks of the models' options: a wrong one is refused when the model is made, not while it is traced."""

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from effjax.errors import UserError, nearest, shown
from effjax.models.mlp import ACTIVATIONS
from effjax.models.normalised import Parts
from effjax.models.questions import READERS
from effjax.models.resnet import SHORTCUTS, STEMS

_MOST = 2**20  # of a size or a factor: beyond what any memory holds of it
_SIZE, _FACTOR = f"a whole number from 1 to {_MOST:,}", f"a number above 0, at most {_MOST:,}"
DTYPES = ("float32", "bfloat16")


def check_option(name: str, value: Any, default: Any) -> Any:
    """Returns ``value`` as the model wants it (lists as tuples, a dtype by its name).

    Args:
      name: the option; it has the same meaning in every model that has it.
      value: what the user gave.
      default: what the model takes if nothing is given.

    Raises:
      UserError: naming the option, the value and what is allowed.
    """
    return _CHECKS[name](name, value, default)


def _one_of(allowed: Sequence[str]) -> Callable:
    def check(name, value, default):
        if not isinstance(value, str) or value not in allowed:
            raise UserError(f"model option {name}={shown(value)}: {nearest(shown(value), allowed)}")
        return value

    return check


def _one_of_or_none(allowed: Sequence[str]) -> Callable:
    """Of models that are built on another, None is that one's own."""

    def check(name, value, default):
        return None if value is default is None else _one_of(allowed)(name, value, default)

    return check


def _that(is_valid: Callable[[Any], bool], allowed: str) -> Callable:
    def check(name, value, default):
        if not is_valid(value):
            raise UserError(f"model option {name}={shown(value)}: allowed: {allowed}")
        return value

    return check


def _tuple_of(is_valid: Callable[[Any], bool], allowed: str) -> Callable:
    def check(name, value, default):
        if not isinstance(value, (tuple, list)) or not all(map(is_valid, value)):
            raise UserError(f"model option {name}={shown(value)}: allowed: {allowed}")
        return tuple(value)

    return check


def _dropout(name: str, value: Any, default: Any) -> Any:
    if not isinstance(default, tuple):
        return _that(_is_rate, "a number from 0 to below 1")(name, value, default)
    allowed = f"{len(default)} numbers from 0 to below 1, such as {default}"
    rates = _tuple_of(_is_rate, allowed)(name, value, default)
    return _that(lambda r: len(r) == len(default), allowed)(name, rates, default)


def _strides(name: str, value: Any, default: Any) -> Any:
    allowed = "whole numbers, each twice the one before, such as (8, 16, 32)"
    strides = _tuple_of(_is_size, allowed)(name, value, default)
    doubled = all(coarse == 2 * fine for fine, coarse in itertools.pairwise(strides))
    return _that(lambda _: bool(strides) and doubled, allowed)(name, strides, default)


def _dtype(name: str, value: Any, default: Any) -> Any:
    known = value if isinstance(value, str) else getattr(value, "name", getattr(value, "__name__", value))
    return getattr(jnp, _one_of(DTYPES)(name, known, default))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and 0 < value <= _MOST


def _is_rate(value: Any) -> bool:
    return _is_number(value) and 0 <= value < 1


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST


def _is_densenet_depth(value: Any) -> bool:
    return _is_size(value) and value >= 10 and value % 6 == 4


def is_pattern(value: Any) -> bool:
    """Whether a value is a regular expression."""
    try:
        re.compile(value)
    except (re.error, TypeError, RecursionError, OverflowError):
        return False
    return isinstance(value, str)


_CHECKS: dict[str, Callable[[str, Any, Any], Any]] = {
    "activation": _one_of(tuple(ACTIVATIONS)),
    "apart": _that(lambda v: isinstance(v, bool), "True or False"),
    "axis_name": _that(lambda v: v is None or isinstance(v, str | Parts), "None, the name of a mapped axis, or Parts"),
    "backbone": _that(lambda v: isinstance(v, str), "the name of a model"),
    "blocks": _that(_is_size, _SIZE),
    "depth": _that(_is_densenet_depth, "6n + 4: 10, 16, 22, …, 40, …, 100, …"),
    "channels": _that(_is_size, _SIZE),
    "convs": _that(_is_size, _SIZE),
    "dim": _that(_is_size, _SIZE),
    "drop_path": _dropout,
    "dropout": _dropout,
    "dtype": _dtype,
    "growth": _that(_is_size, _SIZE),
    "heads": _that(_is_size, _SIZE),
    "hidden": _that(_is_size, _SIZE),
    "mlp_ratio": _that(_is_positive, _FACTOR),
    "patch": _that(_is_size, _SIZE),
    "reader": _one_of(READERS),
    "shortcut": _one_of(SHORTCUTS),
    "stem": _one_of_or_none(STEMS),
    "stride": _that(_is_size, _SIZE),
    "strides": _strides,
    "token_share": _that(lambda v: _is_number(v) and 0 < v <= 1, "a number above 0, at most 1"),
    "taps": _tuple_of(is_pattern, "a tuple of paths or regular expressions"),
    "width": _that(_is_positive, _FACTOR),
    "words": _that(_is_size, _SIZE),
    "widths": _tuple_of(_is_size, f"a tuple of whole numbers from 1 to {_MOST:,}"),
}
