"""What computes a network's convolutions on CPUs."""

import contextlib
import contextvars
from collections.abc import Callable, Collection, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.errors import check_known
from effjax.models import onednn
from effjax.models.depthwise import DepthwiseConv, Pads, depthwise_conv
from effjax.models.grouped import grouped_conv

#: XLA, as everywhere; oneDNN, which trains residual networks faster, on Linux on x86 (``effjax[onednn]``).
CONVOLUTIONS = ("xla", "onednn")


_chosen = contextvars.ContextVar("convolutions", default="xla")


@contextlib.contextmanager
def computed_by(name: str) -> Iterator[None]:
    """Within it, networks that are applied have their convolutions computed by one of :data:`CONVOLUTIONS` on CPUs.

    It holds for each ``nn.Conv``, each depthwise layer of ours and networks in few bits, over float32 images and
    without holes; others, and all on GPUs and TPUs, are XLA's. Values and gradients are equal but for rounding. What is
    compiled keeps what held while it was traced: put it inside of what is jitted.

    Args:
      name: one of :data:`CONVOLUTIONS`.

    Raises:
      UserError: if there is none of this name.

    Example:
      >>> from effjax import models
      >>> module = models.create("scnn", 10)
      >>> variables = models.init(module, jax.random.key(0), (28, 28, 1))
      >>> with models.computed_by("xla"):
      ...     logits = module.apply(variables, jnp.zeros((2, 28, 28, 1))).logits
    """
    check_known(name, CONVOLUTIONS, f"convolutions={name!r} is not known")
    before = _chosen.set(name)
    try:
        with nn.intercept_methods(_by_onednn) if name == "onednn" else contextlib.nullcontext():
            yield
    finally:
        _chosen.reset(before)


def is_by_onednn(x: jax.Array, kernel: jax.Array, dilation: Collection[int] = ()) -> bool:
    """Whether oneDNN is to compute a convolution, and can: of images, of single precision, without holes."""
    return _chosen.get() == "onednn" and x.ndim == 4 and x.dtype == kernel.dtype == jnp.float32 and {*dilation} <= {1}


def prepare(names: Collection[str]) -> None:
    """To be called before JAX begins, which it does with the first array: later it runs programs as it does.

    Args:
      names: what will compute convolutions, of :data:`CONVOLUTIONS`.
    """
    if "onednn" in names:
        onednn.register()


def check_usable(name: str) -> None:
    """Refuses what cannot compute convolutions on this machine's CPU.

    Raises:
      UserError: saying what to install.
    """
    if name == "onednn":
        onednn.check_usable()


def _by_onednn(following: Callable, args: Any, options: Any, context: Any) -> Any:
    """Gives a layer its convolution just before it computes."""
    layer = context.module
    if context.method_name == "__call__":  # it is made for this call alone, but frozen by flax
        if isinstance(layer, nn.Conv) and layer.conv_general_dilated in (None, grouped_conv):
            object.__setattr__(layer, "conv_general_dilated", _general)
        elif isinstance(layer, DepthwiseConv) and layer.convolution is None:
            object.__setattr__(layer, "convolution", _depthwise)
    return following(*args, **options)


def _general(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **options: Any) -> jax.Array:
    """What ``nn.Conv`` computes in the place of ``jax.lax.conv_general_dilated``."""
    if not is_by_onednn(x, kernel, (*options["lhs_dilation"], *options["rhs_dilation"])):
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, **options)
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    (top, bottom), (left, right) = (map(int, pair) for pair in padding)
    down, across = map(int, strides)
    given = (down, across), ((top, bottom), (left, right)), options["feature_group_count"], options["precision"]
    return onednn.convolution(x, kernel, *given)


def _depthwise(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    if not is_by_onednn(x, kernel):
        return depthwise_conv(x, kernel, stride, pads)
    return onednn.convolution(x, kernel, (stride, stride), pads, x.shape[-1])
