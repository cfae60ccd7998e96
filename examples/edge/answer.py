"""Answers photos of a folder with an exported model: python answer.py MODEL_FOLDER PHOTOS.

Needs onnxruntime and Pillow. The model is one that was exported with --inputs=uint8.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
from PIL import Image

folder, photos = map(pathlib.Path, sys.argv[1:3])
model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
height, width, channels = model["image_size"]
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
for path in sorted(photos.iterdir()):
    with Image.open(path) as photo:
        side = min(photo.size)  # the centre square, as in training
        left, top = (photo.width - side) / 2, (photo.height - side) / 2
        square = photo.convert("L" if channels == 1 else "RGB").resize(
            (width, height), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
        )
    pixels = np.asarray(square, np.uint8).reshape(1, height, width, channels)
    (logits,) = session.run(["logits"], {"images": pixels})
    probs = np.exp(logits[0] - logits[0].max())
    best = int(probs.argmax())
    print(f"{path.name}\t{model['classes'][best]}\t{probs[best] / probs.sum():.1%}")
