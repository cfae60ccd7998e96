"""The small convolutional network of the active-learning literature."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from effjax.models.layers import Dropout, check_inputs, head_field, predict
from effjax.models.pooling import max_pool_2x2
from effjax.models.taps import Outputs, Taps


class Scnn(nn.Module):
    """S-CNN: conv 32, conv 64 (3×3, no padding), pool, dropout, dense 128, dropout, dense K.

    Attributes:
      num_classes: K.
      width: multiplies 32, 64 and 128.
      dropout: the probabilities of dropping, after the pool and after the dense layer.
      dtype: what the hidden layers compute in; parameters and logits are float32.
      taps: paths to return: ``conv1``, ``conv2``, ``dense1``, after the non-linearity and before pooling or
        dropout, and ``penultimate``.
      head: what predicts; see :func:`effjax.models.create`.

    References:
      Beluch et al, 2018, The power of ensembles for active learning in image classification,
      https://openaccess.thecvf.com/content_cvpr_2018/html/Beluch_The_Power_of_CVPR_2018_paper.html
      (there "the Keras MNIST CNN", whose layers and initialisation these are).
    """

    num_classes: int
    width: float = 1.0
    dropout: tuple[float, float] = (0.25, 0.5)
    dtype: DTypeLike = jnp.float32
    taps: tuple[str, ...] = ()
    head: nn.Module | None = head_field()

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``; ``train`` has no effect: nothing is normalised."""
        check_inputs(images, dropout_keys)
        taps, init = Taps(self.taps), nn.initializers.glorot_uniform()
        x = images.astype(self.dtype)
        conv = partial(nn.Conv, kernel_size=(3, 3), padding="VALID", dtype=self.dtype, kernel_init=init)
        channels, more_channels, units = (max(1, round(n * self.width)) for n in (32, 64, 128))
        x = nn.relu(conv(channels, name="conv1")(x))
        taps.keep("conv1", x)
        x = nn.relu(conv(more_channels, name="conv2")(x))
        taps.keep("conv2", x)
        maps = {"stride1": x}
        x = Dropout(self.dropout[0], name="dropout1")(max_pool_2x2(x), dropout_keys)
        maps["stride2"] = x
        x = x.reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(units, dtype=self.dtype, kernel_init=init, name="dense1")(x))
        taps.keep("dense1", x)
        x = Dropout(self.dropout[1], name="dropout2")(x, dropout_keys)
        return predict(self, maps, x, taps, init, train, dropout_keys)
