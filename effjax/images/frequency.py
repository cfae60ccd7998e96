"""Cropping images to their low frequencies: smaller images that lose no low frequency."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from effjax.errors import UserError, check_known
from effjax.images.separable import Size, check_size, compute_dtype, on_rows_and_columns

_METHODS = ("auto", "fft", "matmul")
# Measured on the CPU only: matrices are 1.5 to 2.5 times as fast at 224→160, 224→96, 64→48 and 32→24. Products are also
# what the other machines are made for.
_FASTEST = {"cpu": "matmul", "gpu": "matmul", "tpu": "matmul"}


def low_frequency_crop(images: jax.Array, size: Size, *, method: str = "fft") -> jax.Array:
    """Makes images smaller by keeping the middle of their spectrum.

    Of each axis of length S the frequencies −⌊s/2⌋ … s − ⌊s/2⌋ − 1 are kept, scaled by s/S, so that the mean stays as
    it is, and transformed back at the length s. The result is the real part, and may leave the range of the input.

    If s is even and below S, the frequency −s/2 is kept without its twin s/2: a wave of s/2 periods along one axis
    comes out with half its amplitude. So cropping in two steps equals cropping in one if the last step makes both
    axes smaller; if it makes one smaller, a checkerboard may be left between the two.

    Args:
      images: ``[..., H, W, C]``, float; below float32 they are computed in float32.
      size: pixels: one number for both axes, or (height, width); even or odd, at most H and W.
      method: "fft"; "matmul", which is equal but for rounding and costs (h·W·(H + w)) multiply-adds a channel; or
        "auto", the faster one on the default backend.

    Returns:
      ``[..., height, width, C]``, of the images' dtype; ``images`` themselves if they have that size.

    Raises:
      UserError: if ``size`` is larger than the images, or there is no such method.
      TypeError: if the images are not float.
      ValueError: if they have fewer than three axes, or ``size`` is not one or two whole numbers above 0.

    Example:
      >>> checkerboard = jnp.array([[1.0, 0.0], [0.0, 1.0]])[None, :, :, None]
      >>> low_frequency_crop(checkerboard, 1)[0, 0, 0]  # only the mean is left
      Array([0.5], dtype=float32)

    References:
      Wang et al, 2023, EfficientTrain: Exploring Generalized Curriculum Learning for Training Visual Backbones,
      sec. 4.1, https://arxiv.org/abs/2211.09703
    """
    height, width = check_size("low_frequency_crop", images, size)
    source = images.shape[-3:-1]
    if height > source[0] or width > source[1]:
        raise UserError(
            f"low_frequency_crop: size={size!r} is larger than the images, {source[0]}×{source[1]}; "
            "allowed: at most their size. Use resize to make images larger"
        )
    check_known(method, _METHODS, f"low_frequency_crop: method={method!r}")
    if (height, width) == source:
        return images
    if method == "auto":
        method = _FASTEST.get(jax.default_backend(), "matmul")
    crop = _by_fft if method == "fft" else _by_matmul
    return crop(images.astype(compute_dtype(images)), height, width).astype(images.dtype)


def _by_fft(images: jax.Array, height: int, width: int) -> jax.Array:
    source = images.shape[-3:-1]
    spectrum = jnp.fft.fft2(jnp.moveaxis(images, -1, -3))  # the transform is fastest along the last axes
    for axis, size in ((-2, height), (-1, width)):
        positive = jax.lax.slice_in_dim(spectrum, 0, size - size // 2, axis=axis)
        negative = jax.lax.slice_in_dim(spectrum, spectrum.shape[axis] - size // 2, None, axis=axis)
        spectrum = jnp.concatenate([positive, negative], axis)
    scale = height * width / (source[0] * source[1])
    return jnp.moveaxis(jnp.fft.ifft2(spectrum).real * scale, -3, -1)


def _by_matmul(images: jax.Array, height: int, width: int) -> jax.Array:
    """The crop is linear and separable, R + iI on either axis, and of a real image the real part is wanted.

    That is ``R·X·Rᵀ − I·X·Iᵀ``. All frequencies but −s/2 come in pairs, whose imaginary parts cancel, so I is the
    outer product of one alternating column and one wave, and the second term a number times a checkerboard.
    """
    sizes = (images.shape[-3], height), (images.shape[-2], width)
    matrices = [_cosines(*pair) for pair in sizes]
    if not all(_has_unpaired(*pair) for pair in sizes):
        return on_rows_and_columns(images, *matrices)
    # As one more row and column, the waves cost no further pass over the images.
    matrices = [np.vstack([m, _unpaired_wave(*pair)]) for m, pair in zip(matrices, sizes, strict=True)]
    products = on_rows_and_columns(images, *matrices)
    real, amount = products[..., :height, :width, :], products[..., height:, width:, :]
    signs = (-1.0) ** np.add.outer(np.arange(height), np.arange(width))
    return real - amount * jnp.asarray(signs[..., None], images.dtype)


def _has_unpaired(source: int, size: int) -> bool:
    """Whether −s/2 is kept and differs from s/2; at the length S itself the two are one."""
    return size % 2 == 0 and size < source


@cache
def _cosines(source: int, size: int) -> np.ndarray:
    """The real part of the crop of one axis, ``[size, source]``: a sum of cosines over the kept frequencies."""
    frequencies = np.arange(-(size // 2), size - size // 2)
    read = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(source)) / source)
    write = np.exp(2j * np.pi * np.outer(np.arange(size), frequencies) / size)
    return np.real(write @ read) / source


def _unpaired_wave(source: int, size: int) -> np.ndarray:
    """What the imaginary part of the crop of one axis reads, ``[source]``; it writes (−1)^m times that."""
    return np.sin(np.pi * size * np.arange(source) / source) / source
