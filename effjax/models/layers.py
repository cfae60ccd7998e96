"""The layers that the models share: dropout by example, batch normalisation, pooling, the head."""

import dataclasses
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.grouped import grouped_conv
from effjax.models.normalised import Across, Activation, BatchNorm
from effjax.models.taps import Outputs, Taps


class Dropout(nn.Module):
    """Inverted dropout whose mask is a function of the example's own key and of the layer's path.

    So a draw does not depend on how the batch is ordered, split or laid on devices. An element costs 16 random
    bits: the probability is rounded to a multiple of 2⁻¹⁶, and so is the scale, which keeps the expectation.

    References:
      Srivastava et al, 2014, Dropout: A Simple Way to Prevent Neural Networks from Overfitting,
      https://jmlr.org/papers/v15/srivastava14a.html
    """

    rate: float

    def __call__(self, x: jax.Array, keys: jax.Array | None) -> jax.Array:
        """Drops elements of ``x``.

        Args:
          x: ``[B, ...]``.
          keys: ``[B]`` typed keys, one an example, or None: no dropout.

        Returns:
          Of the shape and dtype of ``x``.
        """
        dropped = round(self.rate * 2**16)
        if keys is None or dropped == 0:
            return x
        layer = zlib.crc32("/".join(self.path).encode())
        size = math.prod(x.shape[1:])

        def kept(key):
            words = jax.random.bits(jax.random.fold_in(key, layer), (-(-size // 2),), jnp.uint32)
            halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)
            return halves[:size] >= dropped

        scaled = x * jnp.asarray(2**16 / (2**16 - dropped), x.dtype)
        return jnp.where(jax.vmap(kept)(keys).reshape(x.shape), scaled, jnp.zeros_like(x))


def check_inputs(images: jax.Array, dropout_keys: jax.Array | None) -> None:
    """Raises TypeError or ValueError unless images are float ``[B, H, W, C]`` and the keys typed, ``[B]``."""
    if images.ndim != 4:
        raise ValueError(f"images must be [B, H, W, C], got shape {images.shape}")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise TypeError(f"images must be float and normalised, got {images.dtype}")
    if dropout_keys is None:
        return
    if not jnp.issubdtype(dropout_keys.dtype, jax.dtypes.prng_key) or dropout_keys.shape != images.shape[:1]:
        raise TypeError(
            f"dropout_keys must be {images.shape[0]} typed PRNG keys (jax.random.key), one an example, "
            f"got {dropout_keys.dtype} of shape {dropout_keys.shape}"
        )


def batch_norm(
    name: str,
    activation: Activation | None = None,
    *,
    train: bool,
    dtype: DTypeLike,
    axis_name: Across,
) -> BatchNorm:
    """Batch normalisation with the settings of He et al. and PyTorch (ε 1e-5; a new batch weighs 0.1).

    The running variance is the biased one (PyTorch's is n/(n−1) times that; what a batch is normalised by agrees).

    Args:
      name: the module's name.
      activation: that follows; with it, and with a shortcut that is added before it, training is faster on CPU.
      train: normalise by this batch and update the running statistics; else normalise by the running ones.
      dtype: of the result; statistics are float32.
      axis_name: a mapped axis over which the batch's statistics are averaged, or None.

    References:
      Ioffe & Szegedy, 2015, Batch Normalization, https://arxiv.org/abs/1502.03167
    """
    given = {"momentum": 0.9, "epsilon": 1e-5, "dtype": dtype, "axis_name": axis_name, "name": name}
    return BatchNorm(use_running_average=not train, activation=activation, **given)


def conv_no_bias(
    features: int, kernel: int, stride: int = 1, groups: int = 1, *, dtype: DTypeLike, name: str
) -> nn.Conv:
    """A convolution that a normalisation follows, with the initialisation of He et al. (by the fan-out).

    Its padding is the same on both sides, as PyTorch's; "SAME" is not at stride 2. Of several groups each reads its
    share of the channels, and makes its share.

    References:
      He et al, 2015, Delving Deep into Rectifiers, https://arxiv.org/abs/1502.01852
    """
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=((kernel // 2, kernel // 2),) * 2,
        feature_group_count=groups,
        conv_general_dilated=grouped_conv if groups > 1 else None,
        use_bias=False,
        dtype=dtype,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        name=name,
    )


class Classifier(nn.Dense):
    """The head that a model has by itself: a linear classifier of the penultimate features.

    It computes in float32 whatever the model computes in: it costs next to nothing, and small differences between
    logits are what distillation learns from.
    """

    dtype: DTypeLike = jnp.float32

    def __call__(
        self, features: Mapping[str, jax.Array], train: bool = False, dropout_keys: jax.Array | None = None
    ) -> jax.Array:
        """Maps the penultimate features ``[B, D]`` to logits ``[B, K]``."""
        return super().__call__(features["penultimate"])


def head_field() -> Any:
    """The field ``head`` of a model. Its words leave it out: by these, what was made of classifiers is found again."""
    return dataclasses.field(default=None, repr=False)


def predict(
    model: nn.Module,
    maps: Mapping[str, jax.Array],
    penultimate: jax.Array,
    taps: Taps,
    kernel_init: Callable,
    train: bool,
    dropout_keys: jax.Array | None,
    places: jax.Array | None = None,
) -> Outputs:
    """Ends a model: its head, or a linear classifier, predicts from what the backbone has found.

    Where the penultimate features are a map's average, the tap ``class_maps`` is what the classifier says of each of
    its places, ``[B, h, w, K]``: averaged they are the logits, averaged over a part of the image those of this part.
    Its name alone asks for it.

    Args:
      model: it has the fields ``num_classes`` and ``head``.
      maps: feature maps ``[B, h, w, C]``, finest first, by stride: ``stride8`` is an eighth of the image's size.
      penultimate: ``[B, D]``, kept as the tap of this name.
      taps: of the model.
      kernel_init: of the classifier.
      train: as the model was called.
      dropout_keys: as the model was called.
      places: the map ``[B, h, w, D]`` whose average the classifier reads; None where it reads something else.

    Returns:
      The outputs.

    References:
      Zhou et al, 2016, Learning Deep Features for Discriminative Localization (class activation maps),
      https://arxiv.org/abs/1512.04150
    """
    taps.keep("penultimate", penultimate)
    head = model.head
    if head is None:
        head = classifier = Classifier(model.num_classes, kernel_init=kernel_init, name="classifier")
        if places is not None:
            taps.offer("class_maps", lambda: classifier({"penultimate": places}))
    preds = head({**maps, "penultimate": penultimate}, train=train, dropout_keys=dropout_keys)
    return Outputs(preds, taps.collect())
