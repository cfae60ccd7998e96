"""EfficientNet-Lite0 with ImageNet's weights in eight bits: whose file agrees more with the floats, on real photos?"""

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.compress_quantiser import METHODS, answers, quantised
from benchmarks.pages import Goal
from effjax.export import latencies
from effjax.recipes.export.experiment import export
from effjax.recipes.export.subject import Subject, of_weights

_CROPS, _LEAST = 8, 200
_SKIPPED = ("multipage", "retina", "mask", "foosball")  # several pages, or no photo


def photos() -> list[Image.Image]:
    """Those in colour that scikit-image and scikit-learn ship, smaller ones left out."""
    found = []
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        (root,) = importlib.util.find_spec(package).submodule_search_locations
        for path in sorted((Path(root) / folder).iterdir()):
            if path.suffix in (".png", ".jpg", ".jpeg") and not path.stem.startswith(_SKIPPED):
                image = Image.open(path)
                if image.mode == "RGB" and min(image.size) >= _LEAST:
                    found.append(image)
    return found


def crops(images: list[Image.Image], size: int) -> list[Image.Image]:
    """Of each photo some square parts, of half its shorter side to all of it."""
    draw, found = np.random.default_rng(0), []
    for image in images:
        for _ in range(_CROPS):
            side = int(min(image.size) * draw.uniform(0.5, 1.0))
            left, top = (int(draw.integers(0, length - side + 1)) for length in image.size)
            box = (left, top, left + side, top + side)
            found.append(image.resize((size, size), Image.Resampling.BICUBIC, box=box))
    return found


def rows(size: int = 224) -> Iterator[str | Goal]:
    """Calibrated on the crops of every other photo and tested on those of the others, and the other way round."""
    found = photos()
    agreed: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for half in (0, 1):
            folder = Path(temporary) / str(half)
            (folder / "photos").mkdir(parents=True)
            for number, crop in enumerate(crops(found[half::2], size)):
                crop.save(folder / "photos" / f"{number:03}.png")
            subject = of_weights("efficientnet_lite0", str(folder / "photos"), size)
            count = len(subject.source)
            kinds = {"float": "", "effjax, mse": "mse", "effjax, percentile": "percentile"}
            files = {name: folder / (kind or name) for name, kind in kinds.items()}
            for name, out in files.items():
                kind = kinds[name]
                export(subject, out, **({"bits": "w8a8", "calibration": kind, "calibrate": count} if kind else {}))
            models = {name: out / "model.onnx" for name, out in files.items()}
            calibration = shown(subject, np.stack([subject.source[row]["image"] for row in range(count)]))
            models |= {
                f"onnxruntime, {method}": quantised(models["float"], calibration, method, folder) for method in METHODS
            }
            tested = shown(subject, np.stack([np.asarray(crop) for crop in crops(found[1 - half :: 2], size)]))
            reference = answers(models["float"], tested)
            for name, model in models.items():
                logits = answers(model, tested)
                agreed.setdefault(name, []).append(
                    np.stack([logits.argmax(1) == reference.argmax(1), signal(logits, reference)])
                )
        taken = latencies(models, (1, 8), rounds=10, warm_up=2)
        sizes = {name: model.stat().st_size for name, model in models.items()}
    yield (
        f"| file; {len(found)} photos, {_CROPS} crops each | same answer | signal / noise, dB | MB | ms, 1 image "
        "| ms, 8 images |"
    )
    yield "|---|---:|---:|---:|---:|---:|"
    for name, several in agreed.items():
        same, decibels = np.concatenate(several, 1).mean(1)
        noise = "" if name == "float" else f"{decibels:.1f}"
        ms = (f"{taken[name][batch].least:.2f} / {taken[name][batch].median:.2f}" for batch in (1, 8))
        yield f"| {name} | {100 * same:.1f} % | {noise} | {sizes[name] / 1e6:.2f} | {' | '.join(ms)} |"
    agreement = {name: 100 * float(np.concatenate(several, 1)[0].mean()) for name, several in agreed.items()}
    best, theirs = (
        max((name for name in agreement if name.startswith(whose)), key=lambda name: agreement[name])
        for whose in ("effjax", "onnxruntime")
    )
    what = "EfficientNet-Lite0 in 8 bits: points of agreement with its floats, best method over best of onnxruntime's"
    note = f"{best} over {theirs}; mse, the default: {agreement['effjax, mse'] - agreement[theirs]:+.1f}"
    yield Goal(what, agreement[best] - agreement[theirs], 0.0, at_least=True, note=note)


def shown(subject: Subject, pixels: np.ndarray) -> np.ndarray:
    """What the first layer reads."""
    view = subject.network.view
    return ((pixels / np.float32(255) - np.float32(view.mean)) / np.float32(view.std)).astype(np.float32)


def signal(logits: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """By row, how much larger the logits are than what few bits change of them, in decibels."""
    noise = np.square(logits - reference).sum(1)
    return 10 * np.log10(np.square(reference).sum(1) / np.maximum(noise, 1e-12))
