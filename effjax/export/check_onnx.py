"""Checks model.onnx in this folder against examples.npz.

Run it as python model_check.py. It needs numpy and onnxruntime, and nothing else. Exits with 0 if the answers are as they
should be.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime

folder = pathlib.Path(__file__).parent
known = json.loads((folder / "model.json").read_text(encoding="utf-8"))
with np.load(folder / "examples.npz", allow_pickle=False) as examples:
    images = examples["images"]
    answers = {name.partition("/")[2]: examples[name] for name in examples.files if name.startswith("answers/")}
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
whole, alone = (
    {name: np.asarray(array) for name, array in zip(names, session.run(None, {"images": some}), strict=True)}
    for some in (images, images[:1])
)
wrong = []
for name, expected in answers.items():
    found, largest = whole[name], float(np.abs(expected).max()) or 1.0
    difference = float(np.abs(found - expected).max()) / largest
    rows = float((found == expected).reshape(len(expected), -1).all(1).mean())
    print(f"{name}: largest difference {difference:.1e} of the largest value, {rows:.0%} of the rows the same bits")
    # Integers are the same everywhere, their roundings need not be: of a quantised model the choices count.
    if known["tolerance"] and difference > known["tolerance"]:
        wrong.append(f"{name} differs by {difference:.1e}, allowed is {known['tolerance']:.0e}")
    if expected.ndim == 2 and (found.argmax(1) != expected.argmax(1)).mean() > (0 if rows == 1 else 0.07):
        wrong.append(f"{name}: other choices")
    if np.abs(alone[name] - found[:1]).max() > 1e-5 * largest:
        wrong.append(f"{name}: an image alone is answered otherwise than among others")
if wrong:
    sys.exit("error: " + "; ".join(wrong))
print(f"{len(images)} images answered as they should be")
