"""A deployed network in few bits: calibrated, simulated with gradients, and computed with integers."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from effjax import quantization
from effjax.errors import UserError
from effjax.models.deployed import live_norms
from effjax.models.deployed import operations as ops
from effjax.models.deployed.graph import Folded, Graph, Node, fixed_weights, of_each
from effjax.models.deployed.live_norms import Statistics
from effjax.models.deployed.points import Placement, Point, Scheme, is_mean, keeps_codes, place, sums_codes
from effjax.models.normalised import Across
from effjax.quantization import Grid, Histogram
from effjax.quantization.exact import unfused
from effjax.typing import PyTree

#: By the number of a point, how often it takes which values.
Seen = dict[int, Histogram]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class LayerCodes:
    """A layer's weights as integers.

    Attributes:
      kernel: codes, int32 of the kernel's shape.
      bias: ``[O]``, int32, in steps of the product of both scales.
      scale: of the kernel, ``[O]``.
      input_scale: of what it reads, ``[]``.
      bits: of a code of the kernel.
    """

    kernel: Array
    bias: Array
    scale: Array
    input_scale: Array
    bits: int = dataclasses.field(metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Codes:
    """All that integer arithmetic needs; a tree of arrays, which a compiled program may take.

    Attributes:
      layers: by name.
      grids: by the number of a value that is codes.
      weights: by name, those of the other nodes.
    """

    layers: dict[str, LayerCodes]
    grids: dict[int, Grid]
    weights: Folded


@dataclasses.dataclass(frozen=True, eq=False)
class QuantizedGraph:
    """A graph whose layers read codes of few bits.

    What is learnt of it is a tree, ``{"weights": {node: {"kernel": …, "bias": …}}, "kernel_steps": {layer: [O]},
    "value_steps": {point: []}}``, the steps as logarithms. Beside it there are ``zero_points`` by point, which are not.
    Where normalisation goes on there are ``norms`` in the tree, and statistics beside it: see :mod:`.live_norms`.

    Attributes:
      graph: the network.
      scheme: the bits.
    """

    graph: Graph
    scheme: Scheme

    @functools.cached_property
    def placement(self) -> Placement:
        """Where the codes are."""
        return place(self.graph, self.scheme)

    @functools.cached_property
    def normalised(self) -> tuple[str, ...]:
        """The layers whose normalisation goes on."""
        layers = self.placement.layers if self.scheme.live else ()
        return tuple(name for name in layers if live_norms.is_normalised(self._node(name)))

    def nothing_seen(self) -> Seen:
        """What :meth:`observe` begins with."""
        return {number: Histogram.empty() for number in self.placement.points}

    def observe(self, seen: Seen, folded: Folded, images: Array) -> Seen:
        """Adds what the points are for some images, computed with floats.

        Args:
          seen: so far.
          folded: the weights, as of :meth:`Graph.fold`.
          images: ``[B, H, W, C]``, as the network is shown them.

        Returns:
          What has been seen.
        """
        values = self.graph.values(folded, images)
        return {number: histogram.update(values[number]) for number, histogram in seen.items()}

    def begin(self, folded: Folded, seen: Seen, calibration: str = "mse") -> tuple[PyTree, PyTree]:
        """The quantised network without further training.

        Args:
          folded: the weights.
          seen: of the points, for training images.
          calibration: one of :data:`effjax.quantization.CALIBRATIONS`.

        Returns:
          What is learnt, and the zero points.

        Raises:
          UserError: if there is no such calibration.
        """
        steps, zeros = {}, {}
        for number, point in self.placement.points.items():
            steps[point.name], zeros[point.name] = quantization.calibrate(calibration, seen[number], point.bits)
        params: dict[str, Any] = {"weights": folded, "kernel_steps": {}}
        params["value_steps"] = {name: jnp.log(step) for name, step in steps.items()}
        for name, bits in self.placement.layers.items():
            weights, grid = folded[name], quantization.weight_grid(folded[name]["kernel"], bits=bits)
            scale = self._safe(name, grid.scale, weights, self._grid(self._read_by(name), params, zeros).scale)
            params["kernel_steps"][name] = jnp.log(scale)
        return params, zeros

    def simulate(self, params: PyTree, zero_points: PyTree, images: Array) -> PyTree:
        """What the network returns, computed with floats that are rounded to the grids; it can be differentiated.

        Args:
          params: what is learnt.
          zero_points: by point.
          images: ``[B, H, W, C]``.

        Returns:
          The outputs.
        """
        return self._simulate(params, zero_points, images, {})

    def simulate_live(
        self, params: PyTree, zero_points: PyTree, running: Statistics, images: Array, axis_name: Across = None
    ) -> tuple[PyTree, Statistics]:
        """The same in training, where normalisation goes on.

        Args:
          params: what is learnt, with ``norms``.
          zero_points: by point.
          running: statistics, by layer.
          images: ``[B, H, W, C]``.
          axis_name: a mapped axis over which statistics are averaged, or None.

        Returns:
          The outputs, and the running statistics after them.
        """
        after: Statistics = {}

        def normalising(name: str) -> Callable[[Array], Array]:
            def change(value: Array) -> Array:
                value, after[name] = live_norms.normalised(value, params["norms"][name], running[name], axis_name)
                return value

            return change

        changed = {self._node(name).output: normalising(name) for name in self.normalised}
        return self._simulate(params, zero_points, images, changed), after

    def _simulate(
        self, params: PyTree, zero_points: PyTree, images: Array, normalising: Mapping[int, Callable[[Array], Array]]
    ) -> PyTree:
        weights = dict(params["weights"])
        for name, bits in self.placement.layers.items():
            kernel, step = weights[name]["kernel"], params["kernel_steps"][name]
            rounded = quantization.lsq_quantize(kernel, step, bits=bits, signed=True, axis=kernel.ndim - 1)
            weights[name] = {**weights[name], "kernel": rounded}

        def rounding(point: Point):
            step, zero = self._log_step(point, params), zero_points[point.name]
            return lambda value: quantization.lsq_quantize(value, step, zero, bits=point.bits)

        rounded = {number: rounding(point) for number, point in self.placement.points.items()}
        both = {number: _after(normalising[number], rounded[number]) for number in normalising.keys() & rounded.keys()}
        return self.graph.apply(weights, images, {**rounded, **normalising, **both})

    def codes(self, params: PyTree, zero_points: PyTree) -> Codes:
        """The integers that are deployed.

        Args:
          params: what is learnt.
          zero_points: by point.

        Returns:
          The codes.
        """
        points, layers = self.placement.points, {}
        grids = {
            number: self._grid(points[origin], params, zero_points) for number, origin in self.placement.origin.items()
        }
        for name, bits in self.placement.layers.items():
            weights, input_scale = params["weights"][name], grids[self._node(name).inputs[0]].scale
            step = quantization.learned_step(params["kernel_steps"][name])
            scale = self._safe(name, step, weights, input_scale)
            kernel = weights["kernel"]
            layers[name] = LayerCodes(
                quantization.quantize(
                    kernel, scale, jnp.zeros_like(scale, jnp.int32), bits=bits, signed=True, axis=kernel.ndim - 1
                ),
                quantization.quantize_bias(weights["bias"], input_scale, scale),
                scale,
                input_scale,
                bits,
            )
        others = {name: weights for name, weights in params["weights"].items() if name not in layers}
        return Codes(layers, grids, others)

    def apply_integer(self, codes: Codes, images: Array) -> PyTree:
        """What the network returns, computed with integers as onnxruntime's kernels of eight bits do.

        Args:
          codes: as of :meth:`codes`.
          images: ``[B, H, W, C]``, float.

        Returns:
          The outputs, float32.
        """
        grids, fused = codes.grids, self.placement.fused
        values: dict[int, Array] = {0: grids[0].quantize(images) if 0 in grids else images}

        def as_float(number: int) -> Array:
            return grids[number].dequantize(values[number]) if number in grids else values[number]

        for node in self.graph.nodes:
            number, target = node.output, grids.get(fused.get(node.output, node.output))
            inputs = [values[i] for i in node.inputs]
            if node.name in codes.layers:
                values[number] = _layer(node, codes.layers[node.name], inputs[0], grids[node.inputs[0]], target)
            elif node.inputs and node.inputs[0] in fused and node.output == fused[node.inputs[0]] and target:
                values[number] = inputs[0]
            elif keeps_codes(node) and number in grids and self.placement.origin[number] != number:
                values[number] = _kept(node, inputs[0], grids[number])
            elif target is not None and sums_codes(node) and all(i in grids for i in node.inputs):
                values[number] = _summed(node, inputs, [grids[i] for i in node.inputs], target)
            else:
                own = grids.get(number)
                values[number] = self._rounded(node, [as_float(i) for i in node.inputs], codes, own)
        return jax.tree.map(lambda number: of_each(as_float(number), images), self.graph.outputs)

    def _rounded(self, node: Node, inputs: list[Array], codes: Codes, grid: Grid | None) -> Array:
        """What is computed with floats between two roundings."""
        weights = codes.weights[node.name] if node.is_learnt else fixed_weights(node)
        if isinstance(node.operation, ops.Affine):
            found = unfused(inputs[0], weights["scale"], weights["offset"])
        else:
            found = node.operation(inputs, weights)
        return grid.quantize(found) if grid is not None else found

    def _node(self, name: str) -> Node:
        return self.graph.by_name[name]

    def _read_by(self, name: str) -> Point:
        """The point whose codes a layer reads."""
        return self.placement.points[self.placement.origin[self._node(name).inputs[0]]]

    def _log_step(self, point: Point, params: PyTree) -> Array:
        """The logarithm of a point's step; one that has been clipped has no codes above that."""
        step = params["value_steps"][point.name]
        most = point.most / (2**point.bits - 1)
        return jnp.minimum(step, jnp.log(jnp.float32(most))) if most < jnp.inf else step

    def _grid(self, point: Point, params: PyTree, zero_points: PyTree) -> Grid:
        scale = quantization.learned_step(self._log_step(point, params))
        return Grid(scale, jnp.asarray(zero_points[point.name], jnp.int32), point.bits, False)

    def _safe(self, name: str, scale: Array, weights: Mapping[str, Array], input_scale: Array) -> Array:
        bits = self._read_by(name).bits
        return quantization.safe_weight_scale(scale, weights["kernel"], weights["bias"], input_scale, input_bits=bits)


def _after(first: Callable[[Array], Array], then: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda value: then(first(value))


def calibrated(
    quantized: QuantizedGraph, folded: Folded, batches: Iterable[Array], calibration: str = "mse"
) -> tuple[PyTree, PyTree]:
    """Quantises a trained network after its training.

    Args:
      quantized: the graph.
      folded: its weights.
      batches: training images, ``[B, H, W, C]`` each, as the network is shown them in evaluation.
      calibration: one of :data:`effjax.quantization.CALIBRATIONS`.

    Returns:
      What can be learnt further, and the zero points.

    Raises:
      UserError: if there is no image, or no such calibration.
    """
    return begun(quantized, folded, batches, calibration)[:2]


def begun(
    quantized: QuantizedGraph, folded: Folded, batches: Iterable[Array], calibration: str = "mse"
) -> tuple[PyTree, PyTree, Statistics]:
    """The same as :func:`calibrated`, with the running statistics of the layers whose normalisation goes on."""
    observe, add, begin = _programs(quantized)
    seen, totals, count = quantized.nothing_seen(), live_norms.nothing_summed(quantized.graph, quantized.normalised), 0
    for images in batches:
        images = jnp.asarray(images)
        seen, count = observe(seen, folded, images), count + len(images)
        totals = add(totals, folded, images) if totals else totals
    if not count:
        raise UserError("calibration needs images, and there are none")
    params, zeros = begin(folded, seen, calibration)
    norms, running = live_norms.begun(totals)
    return ({**params, "norms": norms} if norms else params), zeros, running


@functools.lru_cache(maxsize=16)
def _programs(quantized: QuantizedGraph) -> tuple[Any, Any, Any]:
    """Compiled once for all the networks of one architecture."""
    graph = quantized.graph

    def add(totals: Statistics, folded: Folded, images: Array) -> Statistics:
        return live_norms.summed(totals, graph, graph.values(folded, images))

    return jax.jit(quantized.observe), jax.jit(add), jax.jit(quantized.begin, static_argnums=2)


def _layer(node: Node, codes: LayerCodes, x: Array, grid: Grid, target: Grid | None) -> Array:
    operation = node.operation
    if isinstance(operation, ops.Conv):
        total = quantization.integer_conv(
            x,
            *(grid.zero_point, codes.kernel, codes.bias),
            strides=operation.strides,
            padding=operation.padding,
            dilation=operation.dilation,
        )
    else:
        total = quantization.integer_dense(x, grid.zero_point, codes.kernel, codes.bias)
    if target is None:
        return quantization.dequantize_sum(total, codes.input_scale, codes.scale)
    return quantization.requantize(total, codes.input_scale, codes.scale, target)


def _kept(node: Node, x: Array, grid: Grid) -> Array:
    operation = node.operation
    if isinstance(operation, ops.Pad):
        operation = dataclasses.replace(operation, number=grid.zero_point)
    return operation([x.astype(jnp.float32)], {}).astype(jnp.int32)


def _summed(node: Node, inputs: list[Array], grids: list[Grid], target: Grid) -> Array:
    if is_mean(node):
        return quantization.integer_mean(inputs[0], grids[0], target)
    if isinstance(pool := node.operation, ops.Pool):
        sizes = {"window": pool.window, "strides": pool.strides, "padding": pool.padding}
        return quantization.integer_average_pool(inputs[0], grids[0], target, **sizes)
    return quantization.integer_add(inputs[0], inputs[1], grids[0], grids[1], target)
