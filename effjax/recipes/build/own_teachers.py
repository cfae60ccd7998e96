"""Teachers that the user's own function makes."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.serialization
import flax.traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp
import safetensors
import safetensors.numpy
from flax import nnx

from effjax.errors import UserError, nearest, shown
from effjax.models.foreign.state_dicts import missing_file
from effjax.models.nnx_module import NnxModule, nnx_variables
from effjax.models.own import Own
from effjax.typing import PyTree

_SUFFIXES = (".msgpack", ".npz", ".safetensors")


def own_teacher(key: str, named: str, file: str, image_shape: tuple[int, int, int]) -> tuple[Own, PyTree]:
    """Calls the user's function for a network, and reads its variables.

    Args:
      key: of the config, for errors.
      named: ``package.module:function`` or ``path/file.py:function``; it takes nothing, and returns a flax.linen
        module, or one and its variables, or a flax.nnx module.
      file: of the variables: arrays by paths such as ``params/Dense_0/kernel`` in a ``.npz`` or ``.safetensors``, or
        flax's ``.msgpack``, or a folder that Orbax wrote; empty: the function gives them.
      image_shape: ``(H, W, C)``, of what the network is shown.

    Returns:
      The network and its variables, on the host.

    Raises:
      UserError: if there is no such function or file, or what they give is no network with its variables.
    """
    where = f"{key}.function={named!r}"
    made = _function(where, named)()
    module, variables = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(module, nnx.Module):
        try:
            module, variables = _as_linen(module)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    if not isinstance(module, nn.Module):
        allowed = "a flax.linen module, (module, variables), or a flax.nnx module"
        raise UserError(f"{where} returns {shown(module)}; allowed: {allowed}")
    if file:
        variables = _read(Path(file))
    if not isinstance(variables, Mapping):
        raise UserError(f"{where} returns no variables: return (module, variables), or name their file in {key}.file")
    images = jax.ShapeDtypeStruct((1, *image_shape), np.float32)
    shapes, outputs = jax.eval_shape(lambda images: _init(module, images), images)
    logits = outputs.logits
    if getattr(logits, "ndim", 0) != 2:
        raise UserError(f"{where}: its network returns {shown(logits)} of one image; allowed: logits [B, K]")
    _compare(f"{key}.file={file!r}" if file else where, variables, shapes)
    return Own(module, logits.shape[-1]), jax.tree.map(np.asarray, dict(variables))


def _as_linen(module: nnx.Module) -> tuple[nn.Module, PyTree]:
    variables = nnx_variables(module)  # its own, whatever becomes of it
    return NnxModule(lambda _: module), jax.tree.map(np.asarray, variables)


def _init(module: nn.Module, images: jax.Array) -> tuple[PyTree, Any]:
    outputs, variables = Own(module, 1).init_with_output(jax.random.key(0), images)
    return dict(variables), outputs


def _function(where: str, named: str) -> Callable[[], Any]:
    source, mark, name = named.rpartition(":")
    if not mark or not source or not name.isidentifier():
        raise UserError(f"{where}; allowed: 'package.module:function' or 'path/file.py:function'")
    if source.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(source).stem, source)
        if spec is None or spec.loader is None or not Path(source).is_file():
            raise missing_file(source, FileNotFoundError(2, "no such file"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(source)
        except ModuleNotFoundError as error:
            raise UserError(
                f"{where}: there is no module {error.name!r}; a file is named as path/file.py:function"
            ) from None
    function = getattr(module, name, None)
    if not callable(function):
        own = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise UserError(f"{where}: {source} has no function {name!r}; {nearest(name, own)}")
    return function


def _read(file: Path) -> PyTree:
    if file.suffix not in _SUFFIXES and not file.is_dir():
        raise UserError(f"{file}: unknown kind of file {file.suffix!r}; {nearest(file.suffix, _SUFFIXES)}")
    try:
        if file.is_dir():
            return _of_orbax(file.absolute())
        if file.suffix == ".msgpack":
            return flax.serialization.msgpack_restore(file.read_bytes())
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                flat = dict(arrays)
        else:
            flat = safetensors.numpy.load_file(file)
    except OSError as error:
        raise missing_file(file, error) from error
    except Exception as error:  # what readers raise on damaged files is of many kinds
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{file}: cannot be read ({reason}); was it copied whole?") from error
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def _of_orbax(folder: Path) -> PyTree:
    with ocp.PyTreeCheckpointer() as reader:
        kept = reader.metadata(folder).item_metadata.tree
        return reader.restore(folder, restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), kept))


def _compare(where: str, variables: PyTree, shapes: PyTree) -> None:
    def flat(tree: PyTree) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return {jax.tree_util.keystr(path, simple=True, separator="/"): np.shape(leaf) for path, leaf in leaves}

    found, wanted = flat(variables), flat(shapes)
    wrong = [f"{name} {found.get(name, 'missing')}≠{size}" for name, size in wanted.items() if found.get(name) != size]
    if wrong or found.keys() - wanted.keys():
        surplus = [f"{name} surplus" for name in found if name not in wanted]
        said = "; ".join([*wrong, *surplus][:5])
        raise UserError(f"{where}: not the variables of the network: {said}")
