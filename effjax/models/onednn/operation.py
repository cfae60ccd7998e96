"""A convolution that oneDNN computes on CPUs, and XLA elsewhere, with its gradients."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError
from effjax.models.onednn.handler import TARGET, register
from effjax.models.onednn.library import library
from effjax.models.onednn.planned import After, Pairs, Spec, layout


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, int],
    pads: Pairs,
    groups: int = 1,
    precision: jax.lax.PrecisionLike = None,
) -> jax.Array:
    """``jax.lax.conv_general_dilated`` of images, equal but for rounding.

    Gradients are those of reverse mode, once. Of programs over several devices it knows those that each device runs by
    itself (``pmap``, ``shard_map``); ``vmap`` becomes a loop.

    Args:
      x: ``[B, H, W, I]``, float32.
      kernel: ``[h, w, I / groups, O]``, float32.
      strides: down and to the right.
      pads: zeros before and after the rows, and the columns.
      groups: of channels, each of which reads its share of them; as many as there are channels: depthwise.
      precision: of the products where XLA computes them; oneDNN's are of full precision.

    Returns:
      ``[B, H', W', O]``.

    Raises:
      UserError: if the kernel does not fit the images, or one of them is not of float32.

    Example:
      >>> x = jnp.arange(6.0).reshape(1, 2, 3, 1)
      >>> convolution(x, jnp.ones((2, 2, 1, 1)), (1, 1), ((0, 0), (0, 0))).ravel()
      Array([ 8., 12.], dtype=float32)
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[-1] != kernel.shape[2] * groups or kernel.shape[-1] % groups:
        raise UserError(f"images {x.shape} by a kernel {kernel.shape} in {groups} groups: their channels do not fit")
    return _convolution(x, kernel, strides, pads, groups, precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _convolution(x, kernel, strides, pads, groups, precision):
    by_xla = _by_xla(strides, pads, groups, precision)
    return jax.lax.platform_dependent(x, kernel, cpu=_by_onednn(strides, pads, groups), default=by_xla)


@dataclasses.dataclass(frozen=True)
class Laid:
    """What a kernel was that lies as oneDNN computes with it, ``[n]``.

    Attributes:
      kernel: its shape, ``[h, w, I / groups, O]``.
      batch: for how many images it was laid out; for as many nothing is copied.
    """

    kernel: tuple[int, ...]
    batch: int


def followed_convolution(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    added: jax.Array | None,
    clip: tuple[float, float],
    strides: tuple[int, int],
    pads: Pairs,
    groups: int = 1,
    laid: Laid | None = None,
) -> jax.Array:
    """A convolution, its bias, a sum and a clip in one pass, by oneDNN on a CPU; it has no gradient.

    Args:
      x: ``[B, H, W, I]``, float32.
      kernel: ``[h, w, I / groups, O]``, float32; or ``[n]``, of :func:`laid_kernel`.
      bias: ``[O]``.
      added: ``[B or 1, H', W', O]`` or None.
      clip: the least and the largest of the result's numbers, infinite where there is none.
      strides: down and to the right.
      pads: zeros before and after the rows, and the columns.
      groups: of channels.
      laid: of a kernel ``[n]``, what it was.

    Returns:
      ``min(max(convolution + bias + added, low), high)``, ``[B, H', W', O]``.

    Raises:
      UserError: if an array is not of float32.
    """
    after, shape = After(added is not None, *map(float, clip)), kernel.shape if laid is None else laid.kernel
    lies = None if laid is None else (kernel.size, laid.batch)
    spec = Spec("result", x.shape, shape, strides, pads, groups, after, lies)
    more = [] if added is None else [jnp.broadcast_to(added, spec.result)]
    return call(spec, x, kernel, bias, *more)


def laid_kernel(
    kernel: jax.Array,
    images: tuple[int, ...],
    adds: bool,
    clip: tuple[float, float],
    strides: tuple[int, int],
    pads: Pairs,
    groups: int = 1,
) -> tuple[jax.Array, Laid]:
    """A kernel as oneDNN computes with it, which :func:`followed_convolution` otherwise copies it to in each call.

    Args:
      kernel: ``[h, w, I / groups, O]``, float32.
      images: their shape, ``[B, H, W, I]``.
      adds: whether an array is added.
      clip: as there.
      strides: as there.
      pads: as there.
      groups: as there.

    Returns:
      ``[n]``, on the CPU, and what to say of it.
    """
    after = After(adds, *map(float, clip))
    spec = Spec("layout", images, kernel.shape, strides, pads, groups, after)
    loaded = library()
    numbers = -(-loaded.size(layout(loaded, spec)) // 4)
    spec = dataclasses.replace(spec, laid=(numbers, images[0]))
    with jax.default_device(jax.devices("cpu")[0]):
        return jax.jit(functools.partial(call, spec))(kernel), Laid(kernel.shape, images[0])


def _forward(x, kernel, *given):
    return _convolution(x, kernel, *given), (x, kernel)


def _backward(strides, pads, groups, precision, saved, gradient):
    x, kernel = saved
    by_xla = _by_xla(strides, pads, groups, precision)

    def called(of: Literal["images", "kernel"]):
        spec = Spec(of, x.shape, kernel.shape, strides, pads, groups)
        return lambda *arrays: call(spec, *arrays)

    def of_images(kernel, gradient):
        return jax.linear_transpose(lambda x: by_xla(x, kernel), like_x)(gradient)[0]

    def of_kernel(x, gradient):
        return jax.linear_transpose(lambda kernel: by_xla(x, kernel), like_kernel)(gradient)[0]

    like_x, like_kernel = (jax.ShapeDtypeStruct(array.shape, array.dtype) for array in saved)
    # Each by itself: what nobody reads, as the gradient of a batch of images, is then not computed.
    return (
        jax.lax.platform_dependent(kernel, gradient, cpu=called("images"), default=of_images),
        jax.lax.platform_dependent(x, gradient, cpu=called("kernel"), default=of_kernel),
    )


_convolution.defvjp(_forward, _backward)


def _by_onednn(strides: tuple[int, int], pads: Pairs, groups: int) -> Callable[[jax.Array, jax.Array], jax.Array]:
    return lambda x, kernel: call(Spec("result", x.shape, kernel.shape, strides, pads, groups), x, kernel)


def call(spec: Spec, *arrays: jax.Array) -> jax.Array:
    """What a program of XLA's has in it: one call of oneDNN, on a CPU."""
    register()
    if others := {str(array.dtype) for array in arrays} - {"float32"}:
        raise UserError(f"oneDNN computes convolutions of float32 here, not of {', '.join(sorted(others))}")
    result = jax.ShapeDtypeStruct(spec.shapes[-1], jnp.float32)
    # What is added lies where the result will: XLA copies it only where somebody else reads it, too.
    shared = {len(arrays) - 1: 0} if spec.adds else None
    options: dict[str, Any] = {"vmap_method": "sequential", "input_output_aliases": shared}
    return jax.ffi.ffi_call(TARGET, result, **options)(*arrays, spec=str(spec))


def _by_xla(strides: tuple[int, int], pads: Pairs, groups: int, precision: jax.lax.PrecisionLike) -> Callable:
    return functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=strides,
        padding=pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
        precision=precision,
    )


@functools.cache
def check_usable() -> None:
    """Loads oneDNN, and has it compute a small convolution in a program of XLA's.

    Raises:
      UserError: if it is not installed, cannot be loaded, or does not compute what it should in this version of jaxlib.
    """
    library()
    images = np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1)
    kernel = np.arange(4, dtype=np.float32).reshape(2, 2, 1, 1)
    expected = sum(kernel[i, j, 0, 0] * images[:, i : i + 2, j : j + 3] for i in range(2) for j in range(2))
    with jax.default_device(jax.devices("cpu")[0]):
        found = jax.jit(_by_onednn((1, 1), ((0, 0), (0, 0)), 1))(images, kernel)
    if not np.array_equal(found, expected):
        raise UserError("convolutions='onednn': it does not compute what it should with this version of jaxlib")
