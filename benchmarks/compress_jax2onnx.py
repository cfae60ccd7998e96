"""One network through jax2onnx: python -m benchmarks.compress_jax2onnx LABEL; prints how far the answers are apart."""

import json
import sys
import tempfile

import jax
import numpy as np
import onnxruntime
from jax2onnx import to_onnx  # pyright: ignore[reportMissingImports]

from benchmarks.compress_networks import drawn, images_for


def main() -> None:
    one = drawn(sys.argv[1])

    def logits(images: jax.Array) -> jax.Array:
        return one.module.apply(one.variables, images).logits  # pyright: ignore[reportAttributeAccessIssue]

    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        to_onnx(logits, [("B", *one.image_shape)], return_mode="file", output_path=file.name)
        session = onnxruntime.InferenceSession(file.name, providers=["CPUExecutionProvider"])
        images = images_for(one.image_shape, 4)
        (found,) = session.run(None, {session.get_inputs()[0].name: images})
    expected = np.asarray(jax.jit(logits)(images))
    print(json.dumps({"difference": float(abs(found - expected).max() / abs(expected).max())}))


if __name__ == "__main__":
    main()
