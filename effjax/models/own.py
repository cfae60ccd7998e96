"""A network of the user's own in the place of one of ours."""

import inspect
from typing import Any

import flax.linen as nn
import jax

from effjax.models.layers import check_inputs
from effjax.models.taps import Outputs, Taps


class Own(nn.Module):
    """A flax module of any make, called as ours are, in evaluation; its variables are called as they were.

    The module is called with the images alone, and with ``train=False``, ``training=False`` or ``deterministic=True``
    where it has such an argument. It returns logits ``[B, K]``, or ``Outputs``.

    Attributes:
      module: the network.
      num_classes: K.
      taps: paths of activations, of which there are none to ask for.

    Example:
      >>> from flax import linen as nn
      >>> module = Own(nn.Sequential([lambda x: x.reshape(len(x), -1), nn.Dense(3)]), 3)
      >>> variables = module.init(jax.random.key(0), jax.numpy.ones((2, 4, 4, 1)))
      >>> module.apply(variables, jax.numpy.ones((2, 4, 4, 1))).logits.shape
      (2, 3)
    """

    module: nn.Module
    num_classes: int
    taps: tuple[str, ...] = ()

    def setup(self):
        """Its variables are the module's."""
        nn.share_scope(self, self.module)

    def __call__(self, images: jax.Array, train: bool = False, dropout_keys: jax.Array | None = None) -> Outputs:
        """Maps float images ``[B, H, W, C]`` to ``Outputs``."""
        check_inputs(images, dropout_keys)
        taps = Taps(self.taps).collect()
        evaluates = {"train": train, "training": train, "deterministic": not train}
        known = inspect.signature(type(self.module).__call__).parameters
        found: Any = self.module(images, **{name: value for name, value in evaluates.items() if name in known})
        return found if isinstance(found, Outputs) else Outputs(found, taps)
