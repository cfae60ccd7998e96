"""Batch normalisation that goes on while few bits are learnt.

A layer that batch normalisation was folded into is normalised anew: by the statistics of what it makes in the batch in
training, by running ones in evaluation. At first that changes nothing, as the new scale and offset are the deviation
and the mean of what the layer makes. It is folded again where the network is evaluated or deployed: a channel's step
and its weights are multiplied by one number, so its codes stay those that were trained with.

References:
  Krishnamoorthi, `Quantizing Deep Convolutional Networks for Efficient Inference
  <https://arxiv.org/abs/1806.08342>`_, 2018; weights are rounded before the normalisation here, as in Esser
  et al., `Learned Step Size Quantization <https://arxiv.org/abs/1902.08153>`_, 2020, so that nothing is computed twice.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

from effjax.models.deployed.graph import Graph, Node
from effjax.models.normalised import Across, Parts
from effjax.typing import PyTree

#: By layer, the mean and the variance of what it makes, ``[O]`` each.
Statistics = dict[str, dict[str, Array]]

_EPSILON, _MOMENTUM = 1e-5, 0.9
_LEAST = 1e-30  # of a factor whose logarithm is taken


def is_normalised(node: Node) -> bool:
    """Whether batch normalisation was folded into a layer."""
    sources = frozenset[str]().union(*(constant.sources for constant in node.constants.values()))
    return any(path.startswith("batch_stats/") for path in sources)


def nothing_summed(graph: Graph, layers: tuple[str, ...]) -> Statistics:
    """What :func:`summed` begins with: by layer ``sum`` and ``squares``, ``[O]`` each, and ``count``, ``[]``."""
    none = {name: jnp.zeros(graph.by_name[name].shape[-1]) for name in layers}
    return {name: {"sum": zeros, "squares": zeros, "count": jnp.zeros(())} for name, zeros in none.items()}


def summed(totals: Statistics, graph: Graph, values: Mapping[int, Array]) -> Statistics:
    """Adds what the layers make of some images.

    Args:
      totals: so far.
      graph: the network.
      values: by number, as of :meth:`Graph.values`, ``[B, ..., O]``.

    Returns:
      The new ones.
    """

    def added(name: str, own: Mapping[str, Array]) -> dict[str, Array]:
        value = values[graph.by_name[name].output]
        axes = tuple(range(value.ndim - 1))
        return {
            "sum": own["sum"] + value.sum(axes),
            "squares": own["squares"] + jnp.square(value).sum(axes),
            "count": own["count"] + value.size / value.shape[-1],
        }

    return {name: added(name, own) for name, own in totals.items()}


def begun(totals: Statistics) -> tuple[PyTree, Statistics]:
    """A normalisation that changes nothing yet.

    Args:
      totals: of the layers, with at least one image.

    Returns:
      By layer ``scale`` and ``bias``, ``[O]`` each, which are learnt; and the running statistics.
    """
    norms, statistics = {}, {}
    for name, own in totals.items():
        mean = own["sum"] / own["count"]
        variance = jnp.maximum(own["squares"] / own["count"] - jnp.square(mean), 0.0)
        statistics[name] = {"mean": mean, "var": variance}
        norms[name] = {"scale": jnp.sqrt(variance + _EPSILON), "bias": mean}
    return norms, statistics


def normalised(
    value: Array, norm: Mapping[str, Array], running: Mapping[str, Array], axis_name: Across
) -> tuple[Array, dict[str, Array]]:
    """What a layer makes, normalised by its own statistics in the batch, and the running ones after it.

    Args:
      value: ``[B, ..., O]``.
      norm: ``scale`` and ``bias``, ``[O]``.
      running: ``mean`` and ``var``, ``[O]``.
      axis_name: a mapped axis over which statistics are averaged, or the parts that have their own, or None.

    Returns:
      ``value``'s shape; and the running ``mean`` and ``var``, through which no gradient passes.
    """
    if isinstance(axis_name, Parts):
        made, after = jax.vmap(lambda part: normalised(part, norm, running, None))(axis_name.cut(value))
        return made.reshape(value.shape), jax.tree.map(lambda one: one.mean(0), after)
    axes = tuple(range(value.ndim - 1))
    mean, squares = value.mean(axes), jnp.square(value).mean(axes)
    if axis_name is not None:
        mean, squares = jax.lax.pmean((mean, squares), axis_name)
    variance = jnp.maximum(squares - jnp.square(mean), 0.0)
    new = {"mean": mean, "var": variance}
    kept = {name: _MOMENTUM * running[name] + (1 - _MOMENTUM) * new[name] for name in new}
    factor = norm["scale"] * jax.lax.rsqrt(variance + _EPSILON)
    return (value - mean) * factor + norm["bias"], jax.lax.stop_gradient(kept)


def folded(params: PyTree, running: Statistics) -> PyTree:
    """Folds the normalisation, by its running statistics, into kernels, biases and the kernels' steps.

    Args:
      params: what is learnt, with ``norms``: see :class:`~effjax.models.deployed.QuantizedGraph`.
      running: the statistics.

    Returns:
      The parameters of the same network without it.
    """
    weights, steps = dict(params["weights"]), dict(params["kernel_steps"])
    for name, norm in params["norms"].items():
        factor = norm["scale"] * jax.lax.rsqrt(running[name]["var"] + _EPSILON)
        own = weights[name]
        bias = (own["bias"] - running[name]["mean"]) * factor + norm["bias"]
        weights[name] = {**own, "kernel": own["kernel"] * factor, "bias": bias}
        steps[name] = steps[name] + jnp.log(jnp.maximum(jnp.abs(factor), _LEAST))
    return {"weights": weights, "kernel_steps": steps, "value_steps": params["value_steps"]}
