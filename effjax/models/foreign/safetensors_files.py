"""Safetensors files as numpy arrays."""

from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file

from effjax.errors import UserError
from effjax.models.foreign.state_dicts import missing_file, unwrap


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
    try:
        return unwrap(load_file(path), np.ndarray)
    except OSError as error:
        raise missing_file(path, error) from error
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: no readable safetensors file ({reason}); was it copied whole?") from error
