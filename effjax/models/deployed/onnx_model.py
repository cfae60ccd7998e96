"""A graph as an ONNX model."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from onnx import TensorProto, helper

from effjax.models.deployed.graph import Graph, fixed_weights
from effjax.models.deployed.onnx_nodes import FIRST, LAST, OnnxWriter, write
from effjax.models.deployed.operations import Stored

OPSET = 17
IR_VERSION = 8  # what runtimes of 2022 and later read


def to_onnx(
    graph: Graph,
    folded: Mapping[str, Mapping[str, Any]],
    *,
    names: Sequence[str] = (),
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    grids: Mapping[int, Any] | None = None,
) -> onnx.ModelProto:
    """Writes a graph as an ONNX model of one input, ``images [batch, H, W, C]``, whose batch may have any size.

    Args:
      graph: the network.
      folded: its weights, as of :meth:`Graph.fold`. A kernel or a bias may be an object that says how it is stored.
      names: of the outputs, in the order of their leaves; by default ``logits``, or what the tree calls them.
      mean: by channel; with ``std``, the images are bytes, uint8, which the model normalises itself.
      std: by channel.
      grids: by the number of a value, what rounds it: an object with a method ``write(writer, name)``.

    Returns:
      The model; it has been checked.

    Raises:
      UserError: if ONNX has nothing for an operation.
    """
    writer, grids = OnnxWriter(), grids or {}
    layout, source = (FIRST, "images") if len(graph.image_shape) == 3 else (LAST, "images")
    kind = TensorProto.FLOAT
    if mean is not None and std is not None:
        kind = TensorProto.UINT8
        # As the network's view has it: bytes to [0, 1], then mean and standard deviation.
        source = writer.add("Cast", [source], to=TensorProto.FLOAT)
        source = writer.add("Div", [source, writer.number(255)])
        source = writer.add("Sub", [source, writer.array(np.asarray(mean, np.float32))])
        source = writer.add("Div", [source, writer.array(np.asarray(std, np.float32))])
    if 0 in grids:
        # Rounded where convolutions read it, after the channels have come first.
        if any(_reads_first(node) for node in graph.readers[0]):
            source = writer.add("Transpose", [source], perm=[0, 3, 1, 2])
            writer.values[0] = {layout: grids[0].write(writer, source)}
        else:
            writer.values[0] = {LAST: grids[0].write(writer, source)}
    else:
        writer.values[0] = {LAST: source}
    for node in graph.nodes:
        weights = folded[node.name] if node.is_learnt else fixed_weights(node)
        known = {name: array if hasattr(array, "write") else np.asarray(array) for name, array in weights.items()}
        found = write(node.operation, node, known, writer)
        if node.output in grids:
            found = {layout: grids[node.output].write(writer, name) for layout, name in found.items()}
        writer.values[node.output] = found
    outputs = []
    names = names or _output_names(graph)
    for name, number in zip(names, jax.tree.leaves(graph.outputs), strict=True):
        shape, source = ["batch", *graph.shapes[number]], writer.read(number, LAST)
        if number in graph.maker and isinstance(graph.maker[number].operation, Stored):  # the same for all images
            batch = writer.add("Shape", ["images"], start=0, end=1)
            rest = writer.array(np.asarray(graph.shapes[number], np.int64))
            source = writer.add("Expand", [source, writer.add("Concat", [batch, rest], axis=0)])
        writer.nodes.append(helper.make_node("Identity", [source], [name], name=name))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    images = helper.make_tensor_value_info("images", kind, ["batch", *graph.image_shape])
    made = helper.make_graph(writer.nodes, "effjax", [images], outputs, writer.arrays)
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="effjax"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _reads_first(node: Any) -> bool:
    return type(node.operation).__name__ in ("Conv", "Pool")


def _output_names(graph: Graph) -> list[str]:
    """``logits``, or the keys of the tree of predictions; taps by their paths."""
    names = []
    for path, _ in jax.tree_util.tree_leaves_with_path(graph.outputs):
        keys = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path]
        names.append("/".join(keys[1:]) if keys[1:] else "logits")
    return names
