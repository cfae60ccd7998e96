"""The time of making a batch smaller: the low-frequency crop in its two forms, and a plain resize; prints JSON.

python -m benchmarks.curriculum_crop
"""

import json

import jax
import numpy as np
from absl import app, flags

from benchmarks.in_turn import in_turn
from effjax import images as ops

_BATCH = flags.DEFINE_integer("batch", 64, "images")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "how often each is timed")
FULL, SIZES = 224, (160, 96)


def main(_) -> None:
    images = jax.device_put(np.random.default_rng(0).normal(size=(_BATCH.value, FULL, FULL, 3)).astype(np.float32))
    report = {}
    for size in SIZES:
        forms = {
            "fft": lambda x, size=size: ops.low_frequency_crop(x, size, method="fft"),
            "matmul": lambda x, size=size: ops.low_frequency_crop(x, size, method="matmul"),
            "auto": lambda x, size=size: ops.low_frequency_crop(x, size, method="auto"),
            "resize": lambda x, size=size: ops.resize(x, size),
        }
        timed = {name: _waiting(jax.jit(form), images) for name, form in forms.items()}
        report[str(size)] = in_turn(timed, _ROUNDS.value)
    print(json.dumps(report))


def _waiting(function, images):
    return lambda: jax.block_until_ready(function(images))


if __name__ == "__main__":
    app.run(main)
