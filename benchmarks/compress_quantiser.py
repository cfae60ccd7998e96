"""onnxruntime's own static quantiser, as its documentation has it."""

import contextlib
import os
from pathlib import Path

import numpy as np

from effjax.export import onnx_session

METHODS = ("MinMax", "Entropy", "Percentile")
_BATCH = 64


def quantised(floats: Path, images: np.ndarray, method: str, folder: Path) -> Path:
    """The file that onnxruntime makes of another: first prepared, then quantised; QDQ, int8 weights per channel."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(quantization.CalibrationDataReader):
        def __init__(self):
            self.batches = iter(np.split(images, range(_BATCH, len(images), _BATCH)))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    prepared, found = folder / "prepared.onnx", folder / f"{method}.onnx"
    quant_pre_process(str(floats), str(prepared), skip_symbolic_shape=True)
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        quantization.quantize_static(
            str(prepared),
            str(found),
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            calibrate_method=quantization.CalibrationMethod[method],
        )
    return found


def answers(file: Path, images: np.ndarray) -> np.ndarray:
    """The logits of a file."""
    session = onnx_session(file)
    parts = np.split(images, range(_BATCH, len(images), _BATCH))
    return np.concatenate([session.run(None, {"images": part})[0] for part in parts])
