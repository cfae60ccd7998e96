"""Checks model.stablehlo in this folder against examples.npz.

Run it as python model_check.py. It needs numpy and jax, and nothing else. Exits with 0 if the answers are as they
should be.
"""

import json
import pathlib
import sys

import jax
import numpy as np
from jax import export

folder = pathlib.Path(__file__).parent
known = json.loads((folder / "model.json").read_text(encoding="utf-8"))
with np.load(folder / "examples.npz", allow_pickle=False) as examples:
    images = examples["images"]
    answers = {name.partition("/")[2]: examples[name] for name in examples.files if name.startswith("answers/")}
with np.load(folder / "weights.npz", allow_pickle=False) as stored:
    weights = [stored[name] for name in sorted(stored.files)]
exported = export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
model = jax.jit(exported.call)
wrong = []
for name, found in model(weights, images).items():
    expected, found = answers[name], np.asarray(found)
    difference = float(np.abs(found - expected).max()) / (float(np.abs(expected).max()) or 1.0)
    print(f"{name}: largest difference {difference:.1e} of the largest value")
    if difference > known["tolerance"]:
        wrong.append(f"{name} differs by {difference:.1e}, allowed is {known['tolerance']:.0e}")
if wrong:
    sys.exit("error: " + "; ".join(wrong))
print(f"{len(images)} images answered as they should be, on {', '.join(exported.platforms)} it runs")
