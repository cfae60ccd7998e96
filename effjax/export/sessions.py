"""onnxruntime, as all that is said of it here is measured: on the CPU, with one thread unless more are asked for."""

import importlib.util
from pathlib import Path
from typing import Any

from effjax.errors import UserError

NEEDED = ("onnx", "onnxruntime")


def check_installed() -> None:
    """Refuses to go on without the packages that ONNX needs.

    Raises:
      UserError: naming what to install.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} not installed: pip install 'effjax[export]', or {' '.join(NEEDED)}")


def onnx_session(model: bytes | str | Path, threads: int = 1) -> Any:
    """Opens a model in onnxruntime.

    Args:
      model: the file, or what is in it.
      threads: that it computes with.

    Returns:
      The session: ``session.run(None, {"images": …})``.

    Raises:
      UserError: if onnxruntime is not installed.
    """
    check_installed()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; it warns of what its own optimiser does
    given = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
