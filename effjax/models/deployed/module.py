"""A quantised network in the place of the module that it was made of: it trains, predicts and has taps as one."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import Array

from effjax.errors import UserError
from effjax.models.deployed import live_norms
from effjax.models.deployed.graph import Graph, renamed
from effjax.models.deployed.live_norms import Statistics
from effjax.models.deployed.points import Scheme
from effjax.models.deployed.quantized import Codes, QuantizedGraph, begun
from effjax.models.deployed.simplify import simplify
from effjax.models.deployed.trace import trace
from effjax.models.taps import Outputs
from effjax.typing import PyTree

_ZEROS = "zero_points"  # the collection of what is calibrated and not learnt
_STATISTICS = "batch_stats"
_GROUPED, _STEPS = ("weights", "norms"), ("kernel_steps", "value_steps")


def deploy(module: nn.Module, variables: Mapping[str, PyTree], image_shape: tuple[int, int, int]) -> Graph:
    """Traces a network into the graph that is deployed: for evaluation, without dropout, its batch of any size.

    Batch normalisation is folded into the layer before it, where there is one. Nothing is computed.

    Args:
      module: as :func:`effjax.models.create` makes it; its taps are outputs, too.
      variables: its variables, as arrays or as shapes. The graph is the same for all of these shapes.
      image_shape: ``(H, W, C)``.

    Returns:
      The graph; ``graph.apply(graph.fold(variables), images)`` is what the module returns.

    Raises:
      UserError: if the network does what cannot be deployed, naming it.
    """
    nodes, outputs = trace(lambda variables, images: module.apply(variables, images), variables, image_shape)
    kept = simplify(nodes, frozenset(jax.tree.leaves(outputs)), image_shape)
    return Graph(renamed(kept), image_shape, outputs)


@dataclasses.dataclass(frozen=True)
class QuantizedModule:
    """A module whose layers read codes of few bits; batch normalisation is folded, and stays as it was then.

    Its parameters are ``weights`` by layer, and the logarithms of the steps of kernels and of values; its collection
    ``zero_points`` is not learnt. Where the scheme is a live one, layers that were normalised are so further: they have
    parameters ``norms``, and ``batch_stats`` that training moves.

    Attributes:
      module: the network as it was before.
      scheme: the bits.
    """

    module: nn.Module
    scheme: Scheme

    @property
    def num_classes(self) -> int:
        """K."""
        return self.module.num_classes  # pyright: ignore[reportAttributeAccessIssue] (every model has it)

    @property
    def taps(self) -> tuple[str, ...]:
        """The paths of the activations that it returns."""
        return self.module.taps  # pyright: ignore[reportAttributeAccessIssue]

    def clone(self, **fields: Any) -> "QuantizedModule":
        """The same, its module with other fields: ``taps``."""
        return dataclasses.replace(self, module=self.module.clone(**fields))

    def graph(self, image_shape: tuple[int, ...]) -> QuantizedGraph:
        """The graph for images of a shape."""
        return _graph(self.module, self.scheme, tuple(image_shape))

    def init(self, key: Array, images: Array, **_: Any) -> dict[str, PyTree]:
        """Draws variables, with steps of one: :meth:`begin` finds better ones."""
        variables = self.module.init(key, images)
        quantized = self.graph(images.shape[1:])
        folded, points = quantized.graph.fold(variables), quantized.placement.points.values()
        kernels = {name: jnp.zeros(folded[name]["kernel"].shape[-1]) for name in quantized.placement.layers}
        steps = {point.name: jnp.zeros(()) for point in points}
        zeros = {point.name: jnp.zeros((), jnp.int32) for point in points}
        params = {"weights": folded, "kernel_steps": kernels, "value_steps": steps}
        channels = {name: folded[name]["kernel"].shape[-1:] for name in quantized.normalised}
        if channels:
            params["norms"] = {name: {"scale": jnp.ones(c), "bias": jnp.zeros(c)} for name, c in channels.items()}
        running = {name: {"mean": jnp.zeros(c), "var": jnp.ones(c)} for name, c in channels.items()}
        return _variables(params, zeros, running)

    def init_with_output(self, key: Array, images: Array, **_: Any) -> tuple[Outputs, dict[str, PyTree]]:
        """The same, with what is predicted then."""
        variables = self.init(key, images)
        return self.apply(variables, images), variables

    def begin(
        self, variables: Mapping[str, PyTree], batches: Iterable[Array], calibration: str = "mse"
    ) -> dict[str, PyTree]:
        """What the variables of the module become: folded, with a grid for each value that is rounded.

        Args:
          variables: of the module, trained.
          batches: training images, ``[B, H, W, C]`` each, as the network is shown them in evaluation.
          calibration: one of :data:`effjax.quantization.CALIBRATIONS`.

        Returns:
          The variables.

        Raises:
          UserError: if there is no image, or no such calibration.
        """
        return self._begin(lambda graph: jax.jit(graph.fold)(variables), batches, calibration)

    def begin_again(
        self, variables: Mapping[str, PyTree], batches: Iterable[Array], calibration: str = "mse"
    ) -> dict[str, PyTree]:
        """The same of a network that has been quantised, with other bits: its weights stay, its grids do not."""
        return self._begin(lambda _: _folded(variables)[0]["weights"], batches, calibration)

    def _begin(self, fold: Callable[[Graph], Any], batches: Iterable[Array], calibration: str) -> dict[str, PyTree]:
        batches = iter(batches)
        first = next(batches, None)
        if first is None:
            raise UserError("calibration needs images, and there are none")
        quantized = self.graph(np.shape(first)[1:])
        return _variables(*begun(quantized, fold(quantized.graph), itertools.chain([first], batches), calibration))

    def apply(
        self,
        variables: Mapping[str, PyTree],
        images: Array,
        train: bool = False,
        dropout_keys: Array | None = None,
        mutable: Any = False,
    ) -> Any:
        """Maps images to :class:`Outputs`, computed with floats that are rounded to the grids.

        Args:
          variables: as of :meth:`begin`.
          images: ``[B, H, W, C]``.
          train: whether what is normalised further is so by its own statistics in the batch; of no matter elsewhere.
          dropout_keys: of no matter: there is no dropout.
          mutable: whether the other collections are returned beside the outputs; in training, with new statistics.
        """
        quantized, kept = self.graph(images.shape[1:]), {name: v for name, v in variables.items() if name != "params"}
        if train and quantized.normalised:
            params, zeros, running = _flat(variables)
            outputs, after = quantized.simulate_live(params, zeros, running, images, self._axis_name)
            kept = {**kept, _STATISTICS: _nested(after)}
        else:
            outputs = quantized.simulate(*_folded(variables), images)
        return (outputs, kept) if mutable or mutable == [] else outputs

    @property
    def _axis_name(self) -> str | None:
        """The mapped axis over which the module averages statistics."""
        return getattr(getattr(self.module, "wide", self.module), "axis_name", None)  # of a narrow one, the whole one's

    def codes(self, variables: Mapping[str, PyTree], image_shape: tuple[int, ...]) -> Codes:
        """The integers that are deployed."""
        return self.graph(image_shape).codes(*_folded(variables))

    def apply_integer(self, codes: Codes, images: Array) -> Outputs:
        """What is predicted with integers, as onnxruntime's kernels of eight bits do."""
        return self.graph(images.shape[1:]).apply_integer(codes, images)


@functools.lru_cache(maxsize=64)
def _graph(module: nn.Module, scheme: Scheme, image_shape: tuple[int, int, int]) -> QuantizedGraph:
    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), image)
    return QuantizedGraph(deploy(module, variables, image_shape), scheme)


def _variables(params: PyTree, zeros: PyTree, running: Statistics) -> dict[str, PyTree]:
    """As they are kept: a tree in which a layer's path is a path; zero points are floats, which devices can average."""
    floats = {name: jnp.asarray(zero, jnp.float32) for name, zero in zeros.items()}
    steps = {name: traverse_util.unflatten_dict(params[name], sep="/") for name in _STEPS}
    grouped = {name: _nested(params[name]) for name in _GROUPED if name in params}
    found = {"params": {**grouped, **steps}, _ZEROS: traverse_util.unflatten_dict(floats, sep="/")}
    return {**found, _STATISTICS: _nested(running)} if running else found


def _flat(variables: Mapping[str, PyTree]) -> tuple[PyTree, PyTree, Statistics]:
    """The inverse."""
    params, running = variables["params"], variables.get(_STATISTICS, {})
    steps = {name: _paths(params[name]) for name in _STEPS}
    grouped = {name: _by_node(params[name]) for name in _GROUPED if name in params}
    return {**grouped, **steps}, _paths(variables[_ZEROS]), _by_node(running)


def _folded(variables: Mapping[str, PyTree]) -> tuple[PyTree, PyTree]:
    """The parameters that are evaluated and deployed, and the zero points."""
    params, zeros, running = _flat(variables)
    return (live_norms.folded(params, running) if "norms" in params else params), zeros


def _paths(tree: PyTree) -> dict[str, Any]:
    return traverse_util.flatten_dict(jax.tree.map(lambda x: x, dict(tree)), sep="/")


def _by_node(tree: PyTree) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for path, array in _paths(tree).items():
        node, _, name = path.rpartition("/")
        found.setdefault(node, {})[name] = array
    return found


def _nested(by_node: Mapping[str, Mapping[str, Any]]) -> PyTree:
    """The inverse."""
    return traverse_util.unflatten_dict(
        {f"{node}/{name}": array for node, own in by_node.items() for name, array in own.items()}, sep="/"
    )
