"""The convolution of several groups of channels, with a gradient that is fast on CPU."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

Pairs = tuple[tuple[int, int], tuple[int, int]]


def grouped_conv(
    x: jax.Array,
    kernel: jax.Array,
    strides: Sequence[int],
    padding: Any,
    *,
    feature_group_count: int,
    precision: Any = None,
    **plain: Any,
) -> jax.Array:
    """What ``nn.Conv`` may compute in the place of ``jax.lax.conv_general_dilated``: images, and no dilation.

    XLA's gradient of the kernel takes a hundred times as long as the convolution on CPU: there it is a product for each
    of the kernel's taps, over all places, and for all groups at once. Elsewhere, and of the images, it is XLA's.

    Args:
      x: ``[B, H, W, I]``.
      kernel: ``[k, k, I / groups, O]``.
      strides: of the rows and of the columns.
      padding: zeros before and after the rows, and the columns.
      feature_group_count: groups.
      precision: of the products.
      **plain: what ``nn.Conv`` says besides: dilations, which are 1, and the order of the axes.
    """
    pads = ((padding[0][0], padding[0][1]), (padding[1][0], padding[1][1]))
    return _conv(x, kernel, (strides[0], strides[1]), pads, feature_group_count, precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _conv(x, kernel, strides, pads, groups, precision):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        strides,
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        precision=precision,
    )


def _forward(x, kernel, strides, pads, groups, precision):
    return _conv(x, kernel, strides, pads, groups, precision), (x, kernel)


def _backward(strides, pads, groups, precision, saved, gradient):
    x, kernel = saved
    plain = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=strides,
        padding=pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        precision=precision,
    )
    by_xla = lambda x, kernel, gradient: jax.vjp(lambda kernel: plain(x, kernel), kernel)[1](gradient)[0]  # noqa: E731
    by_products = functools.partial(_by_products, strides=strides, pads=pads, groups=groups)
    (of_images,) = jax.vjp(lambda x: plain(x, kernel), x)[1](gradient)
    return of_images, jax.lax.platform_dependent(x, kernel, gradient, cpu=by_products, default=by_xla)


def _by_products(
    x: jax.Array, kernel: jax.Array, gradient: jax.Array, *, strides, pads: Pairs, groups: int
) -> jax.Array:
    """For each tap the product of the shifted images with the gradient, ``[places, I] · [places, O]`` by group."""
    rows, columns = gradient.shape[1:3]
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    by_group = gradient.reshape(-1, groups, gradient.shape[-1] // groups)
    taps = []
    for i, j in itertools.product(*map(range, kernel.shape[:2])):
        down, right = i + (rows - 1) * strides[0] + 1, j + (columns - 1) * strides[1] + 1
        shifted = padded[:, i : down : strides[0], j : right : strides[1]].reshape(by_group.shape[0], groups, -1)
        taps.append(jnp.einsum("pgi,pgo->igo", shifted, by_group, preferred_element_type=jnp.float32))
    return jnp.stack(taps).reshape(kernel.shape).astype(kernel.dtype)


_conv.defvjp(_forward, _backward)
