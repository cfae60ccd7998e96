"""What examples count for in the objective, by their own losses. One more way is one function and one registry line."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from effjax import losses
from effjax.errors import UserError, check_known, nearest
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Weighting:
    """Weights of examples, whatever the terms are.

    Attributes:
      weigh: from the examples' losses ``[B]`` (the weighted sums of the terms, without gradient), what is remembered,
        and the mapped axis that the batch lies along or None, to weights ``[B]`` and what is remembered after this
        step, the same on all devices.
      remember: makes what is remembered before the first step; None: nothing is.
    """

    weigh: Callable[[jax.Array, PyTree, str | None], tuple[jax.Array, PyTree]]
    remember: Callable[[], PyTree] | None = None


def super_loss(*, threshold: float | None = None, regularization: float = 1.0, momentum: float = 0.9) -> Weighting:
    """SuperLoss: examples whose loss is above a threshold count less, the others more.

    The threshold is a number (log K is published for K classes), or without one the running mean of the losses, of
    which ``momentum`` stays at every step.
    """

    def weigh(values: jax.Array, mean: PyTree, axis_name: str | None) -> tuple[jax.Array, PyTree]:
        if threshold is not None:
            return losses.super_loss_weights(values, threshold, regularization=regularization), mean
        now = values.mean() if axis_name is None else jax.lax.pmean(values.mean(), axis_name)
        mean = jnp.where(jnp.isnan(mean), now, momentum * mean + (1.0 - momentum) * now)
        return losses.super_loss_weights(values, mean, regularization=regularization), mean

    return Weighting(weigh, None if threshold is not None else lambda: jnp.float32(jnp.nan))


WEIGHTINGS: dict[str, Callable[..., Weighting]] = {"super_loss": super_loss}


def make_weighting(name: str, **options: Any) -> Weighting:
    """Makes the weighting ``name``.

    Raises:
      UserError: if there is none of that name, or it has no such option.
    """
    check_known(name, WEIGHTINGS, f"weighting.name={name!r}")
    return WEIGHTINGS[name](**known_options(f"weighting, {name}", WEIGHTINGS[name], options))


def known_options(key: str, make: Callable[..., Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a function of a registry.

    Raises:
      UserError: naming one that it does not have.
    """
    allowed = make.__kwdefaults__ or {}
    for option in options:
        if option not in allowed:
            raise UserError(f"{key}: no option {option!r}; {nearest(option, allowed)}")
    return options
