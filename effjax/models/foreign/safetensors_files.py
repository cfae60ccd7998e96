"""Safetensors files as numpy arrays."""

from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file

from effjax.errors import UserError, nearest
from effjax.models.foreign.state_dicts import missing_file, split_part, unwrap

_TYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL", "C64"}


def read_safetensors(path: str | Path) -> dict[str, np.ndarray]:
    """Reads a file of the safetensors format, which holds numbers only.

    Args:
      path: the file.

    Returns:
      Arrays by name, without the prefixes "module." and "_orig_mod.".

    Raises:
      UserError: naming the file, if it is missing or damaged.

    References:
      https://huggingface.co/docs/safetensors
    """
    path, part = split_part(path)
    try:
        with safetensors.safe_open(path, framework="np") as file:
            types = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        if unknown := sorted(types - _TYPES):
            raise UserError(
                f"{path}: it has numbers of the types {', '.join(unknown)}; {nearest(unknown[0], _TYPES)}: "
                "save it as one of these"
            )
        return unwrap(load_file(path), np.ndarray, path, part)
    except UserError:
        raise
    except OSError as error:
        raise missing_file(path, error) from error
    except Exception as error:  # what its reader and numpy raise on damaged files is of many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: no readable safetensors file ({reason}); was it copied whole?") from error
