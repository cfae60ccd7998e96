"""A network with all that lies between a stored example and its predictions."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from effjax.models import Outputs
from effjax.models.convolutions import computed_by
from effjax.models.remat import computed_anew
from effjax.steps.views import View
from effjax.typing import Batch, PyTree


class Predictor(Protocol):
    """What predicts of a batch as it is stored."""

    def predict(self, variables: PyTree, batch: Batch) -> Outputs:
        """The outputs; floats among the predictions are float32."""
        ...


@dataclasses.dataclass(frozen=True)
class Network:
    """A module and what it is shown.

    Attributes:
      module: as :func:`effjax.models.create` makes it.
      view: how stored images become its input.
      inputs: the features of a batch that it reads, in the order of its call.
      through: pure functions from its parameters to those that it computes with, in order: masks, roundings.
      remat: of which modules what they compute is computed anew for the gradient, see
        :func:`~effjax.models.remat.computed_anew`; empty: of none.
      convolutions: what computes them on CPUs, see :func:`~effjax.models.computed_by`.
    """

    module: nn.Module
    view: View = dataclasses.field(default_factory=View)
    inputs: tuple[str, ...] = ("image",)
    through: tuple[Callable[[PyTree], PyTree], ...] = ()
    remat: str = ""
    convolutions: str = "xla"

    def tapped(self, taps: tuple[str, ...]) -> "Network":
        """The network, which also returns these activations."""
        return dataclasses.replace(self, module=self.module.clone(taps=taps)) if taps else self

    def reads(self, seen: Batch) -> list[jax.Array]:
        """What the module reads of a batch that :meth:`View.see` made: its features, the images reduced."""
        return [self.view.reduce(seen[name]) if name == "image" else seen[name] for name in self.inputs]

    def shapes(self, batch: Batch) -> list[jax.ShapeDtypeStruct]:
        """Shapes and types of what the module reads of one example of a batch as it is stored, ``[1, ...]`` each."""
        first = {name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype) for name, array in batch.items()}
        return jax.eval_shape(lambda batch: self.reads(self.view.see(batch)), first)

    def __call__(self, variables: PyTree, seen: Batch, **options: Any) -> Any:
        """Applies the module to a batch that :meth:`View.see` made; options are those of flax's ``apply``."""
        params = functools.reduce(lambda params, change: change(params), self.through, variables["params"])
        anew = computed_anew(self.remat) if self.remat and options.get("train") else contextlib.nullcontext()
        with anew, computed_by(self.convolutions):
            return self.module.apply({**variables, "params": params}, *self.reads(seen), **options)

    def predict(self, variables: PyTree, batch: Batch) -> Outputs:
        """What is predicted of a batch as it is stored: running statistics, no dropout, no augmentation.

        Returns:
          The outputs; floats among the predictions are float32.
        """
        outputs = self(variables, self.view.see(batch), train=False)
        return outputs._replace(preds=jax.tree.map(float32, outputs.preds))


def float32(array: jax.Array) -> jax.Array:
    """The array, of single precision if it is of floats."""
    return array.astype(jnp.float32) if jnp.issubdtype(array.dtype, jnp.floating) else array
