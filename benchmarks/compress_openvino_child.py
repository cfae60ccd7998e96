"""Files in OpenVINO and in onnxruntime, in turn: python compress_openvino_child.py IMAGES OUT N FILE…; no effjax.

Writes OUT, JSON: by file, the answers' difference and choices, and of the first N files the milliseconds of one image
and of 32.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import onnxruntime
import openvino  # pyright: ignore[reportMissingImports]

_SIZES, _ROUNDS, _WARM_UP, _BATCH = (1, 32), 100, 10, 50


def in_onnxruntime(file: str) -> Callable[[np.ndarray], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {"images": images})[0])


def in_openvino(file: str) -> Callable[[np.ndarray], np.ndarray]:
    # Floats of 32 bits, as the file says: by itself it takes bfloat16 where the processor has it.
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    core = openvino.Core()
    model = core.compile_model(core.read_model(file), "CPU", settings)
    return lambda images: np.asarray(model({"images": images})[0])


def main() -> None:
    images, out, count, *files = sys.argv[1:]
    pixels, is_timed = np.load(images), set(files[: int(count)])
    found = {}
    runtimes = {"onnxruntime": in_onnxruntime, "openvino": in_openvino}
    for file in files:
        opened = {name: runtime(file) for name, runtime in runtimes.items()}
        parts = np.split(pixels, range(_BATCH, len(pixels), _BATCH))
        logits = {name: np.concatenate([answer(part) for part in parts]) for name, answer in opened.items()}
        here, there = logits["onnxruntime"], logits["openvino"]
        found[file] = {
            "choices": {name: rows.argmax(1).tolist() for name, rows in logits.items()},
            "difference": float(np.abs(here - there).max() / np.abs(here).max()),
            "ms": {str(size): taken(opened, pixels[:size]) for size in _SIZES if file in is_timed},
        }
    with open(out, "w") as written:
        json.dump({"files": found, "versions": f"openvino {openvino.__version__.partition('-')[0]}"}, written)


def taken(opened: dict[str, Callable], images: np.ndarray) -> dict[str, tuple[float, float]]:
    """Least and median milliseconds of a call, the runtimes in turn; the second of two calls is timed."""
    times: dict[str, list[float]] = {name: [] for name in opened}
    for number in range(_WARM_UP + _ROUNDS):
        for name, answer in opened.items():
            answer(images)
            start = time.perf_counter_ns()
            answer(images)
            if number >= _WARM_UP:
                times[name].append((time.perf_counter_ns() - start) / 1e6)
    return {name: (min(own), statistics.median(own)) for name, own in times.items()}


if __name__ == "__main__":
    main()
