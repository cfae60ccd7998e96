"""What compression and export cost and bring, here and beside others.

    .venv/bin/python -m benchmarks.compress [--only=files,integers,latency,channels,step]

Variables are drawn: nothing here is about accuracy (see results/compress_*.md for that). Latencies are onnxruntime's,
one thread, the files of a network in turn; ratios are of one round each, their median and range. jax2onnx runs in a
process of its own, in an environment of its own. Writes results/compress_speed.md. About twenty minutes on two cores.
"""

import argparse
import functools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import optax

from benchmarks.compress_networks import CONVOLUTIONAL, NETWORKS, drawn, images_for
from benchmarks.environments import environment
from benchmarks.in_turn import in_turn, ratio
from benchmarks.pages import RESULTS, Goal, middle_ratio, quiet, write_page
from effjax import models
from effjax.export import onnx_session
from effjax.models.deployed import QuantizedGraph, Scheme, calibrated
from effjax.models.deployed.onnx_codes import quantized_to_onnx
from effjax.models.deployed.onnx_model import to_onnx
from effjax.steps import Objective, View, init_state, make_term, make_train_step

_ROOT = Path(__file__).parents[1]
_PACKAGES = ("jax2onnx==0.17.*", "onnxruntime", "flax", "optax", "chex", "pillow", "scipy", "safetensors")
_ROWS = 256
_TIMED = ("mlp, 28", "S-CNN, 28", "ResNet-20, 32", "ResNet-18, 112", "EfficientNet-Lite0, 112")
_FASTER = {"ResNet-20, 32": 1.6, "ResNet-18, 112": 2.5, "EfficientNet-Lite0, 112": 1.6}  # in eight bits, at least
_NARROWED = ("ResNet-20, 32", "ResNet-18, 112")


def files() -> Iterator[str | Goal]:
    """Of every network, how far onnxruntime's answers to its file are from JAX's, and how large the file is."""
    yield "| network | parameters | largest difference / largest logit | bytes / (4 × parameters) | jax2onnx 0.17 |"
    yield "|---|---:|---:|---:|---|"
    python = environment("peers_compress", *_PACKAGES)
    differences, sizes, theirs_too = [], [], 0
    for label in NETWORKS:
        one = drawn(label)
        graph = models.deploy(one.module, one.variables, one.image_shape)
        content = to_onnx(graph, jax.jit(graph.fold)(one.variables)).SerializeToString()
        images = images_for(one.image_shape, 4)
        (found,) = onnx_session(content).run(None, {"images": images})
        expected = np.asarray(jax.jit(one.module.apply)(one.variables, images).logits)
        count = models.count_params(one.variables["params"])
        difference = abs(found - expected).max() / abs(expected).max()
        theirs = jax2onnx(python, label) if python else "not installed"
        yield f"| {label} | {count:,} | {difference:.1e} | {len(content) / 4 / count:.3f} | {theirs} |"
        differences.append(float(difference))
        sizes.append(len(content) / 4 / count)
        theirs_too += theirs[:1].isdigit()
    yield Goal("largest difference of ONNX and JAX, of the largest logit", max(differences), 1e-5)
    yield Goal("bytes of a file over 4 × parameters, the worst", max(sizes), 1.02)
    yield Goal("networks that are exported", len(sizes), len(sizes), at_least=True, note=f"jax2onnx: {theirs_too}")


def integers() -> Iterator[str | Goal]:
    """Of every convolutional network, how many rows onnxruntime answers with the bits that are computed here."""
    yield f"| network | rows of {_ROWS} with equal bits | equal choices | bytes / float file |"
    yield "|---|---:|---:|---:|"
    equal_rows, equal_choices = [], []
    for label in CONVOLUTIONAL:
        quantized, codes, content, plain, shape = both(label)
        images = images_for(shape, _ROWS)
        apply = jax.jit(lambda images, quantized=quantized, codes=codes: quantized.apply_integer(codes, images).logits)
        found = np.concatenate([np.asarray(apply(images[i : i + 32])) for i in range(0, _ROWS, 32)])
        (executed,) = onnx_session(content).run(None, {"images": images})
        rows, choices = (found == executed).all(1).sum(), (found.argmax(1) == executed.argmax(1)).sum()
        yield f"| {label} | {rows} | {choices} | {len(content) / len(plain):.3f} |"
        equal_rows.append(rows / _ROWS)
        equal_choices.append(choices / _ROWS)
    yield Goal("rows of equal bits, over all networks", float(np.mean(equal_rows)), 0.999, at_least=True)
    yield Goal("equal choices, of the worst network", float(min(equal_choices)), 1.0, at_least=True)


def both(label: str) -> tuple:
    """A network in eight bits, and its file beside that of floats."""
    one = drawn(label)
    graph = models.deploy(one.module, one.variables, one.image_shape)
    folded = jax.jit(graph.fold)(one.variables)
    quantized = QuantizedGraph(graph, Scheme.parse("w8a8"))
    codes = quantized.codes(*calibrated(quantized, folded, [images_for(one.image_shape, 32)]))
    content = quantized_to_onnx(quantized, codes).SerializeToString()
    return quantized, codes, content, to_onnx(graph, folded).SerializeToString(), one.image_shape


def latency() -> Iterator[str | Goal]:
    """Eight bits against floats in onnxruntime."""
    yield "| network | batch | float, ms (min) | w8a8, ms (min) | float / w8a8 |"
    yield "|---|---:|---:|---:|---:|"
    for label in _TIMED:
        _, _, content, plain, shape = both(label)
        ratios = []
        for batch in (1, 32):
            times = in_turn({name: call(one, shape, batch) for name, one in (("f", plain), ("q", content))}, 9)
            low = [f"{1e3 * min(times[name]):.3f}" for name in ("f", "q")]
            yield f"| {label} | {batch} | {' | '.join(low)} | {ratio(times['f'], times['q'])} |"
            ratios.append(middle_ratio(times["f"], times["q"]))
        if label in _FASTER:
            yield Goal(f"{label}: eight bits over floats, the worse of both batches", min(ratios), _FASTER[label], True)


def call(content: bytes, shape: tuple[int, int, int], batch: int) -> Callable[[], object]:
    """Answers a batch in onnxruntime."""
    session, images = onnx_session(content), images_for(shape, batch)
    return lambda: session.run(None, {"images": images})


def channels() -> Iterator[str | Goal]:
    """Half the channels against all, in onnxruntime and in XLA."""
    yield "| network | batch | onnxruntime, all, ms (min) | half / all | XLA, all, ms (min) | half / all |"
    yield "|---|---:|---:|---:|---:|---:|"
    for label in _NARROWED:
        whole = drawn(label)
        half = drawn(label, module=models.Narrow(whole.module, 0.5))
        contents, applied = {}, {}
        for name, one in (("whole", whole), ("half", half)):
            graph = models.deploy(one.module, one.variables, one.image_shape)
            contents[name] = to_onnx(graph, jax.jit(graph.fold)(one.variables)).SerializeToString()
            applied[name] = jax.jit(lambda images, one=one: one.module.apply(one.variables, images).logits)
        for batch in (1, 32):
            images = images_for(whole.image_shape, batch)
            calls = {f"onnx {name}": call(content, whole.image_shape, batch) for name, content in contents.items()}
            calls |= {f"xla {name}": functools.partial(_done, f, images) for name, f in applied.items()}
            times = in_turn(calls, 9)
            cells = [
                cell
                for kind in ("onnx", "xla")
                for cell in (
                    f"{1e3 * min(times[f'{kind} whole']):.3f}",
                    ratio(times[f"{kind} half"], times[f"{kind} whole"]),
                )
            ]
            yield f"| {label} | {batch} | {' | '.join(cells)} |"
            for kind, bound in (("onnx", 0.6), ("xla", 0.65)):
                measured = middle_ratio(times[f"{kind} half"], times[f"{kind} whole"])
                yield Goal(f"{label}, batch {batch}: half the channels over all, {kind}", measured, bound)


def step() -> Iterator[str | Goal]:
    """A training step in few bits against a plain one."""
    yield "| network | batch | plain, ms (min) | w8a8 / plain | w4a4 / plain |"
    yield "|---|---:|---:|---:|---:|"
    for label in ("S-CNN, 28", "ResNet-20, 32"):
        one, size, optimizer = drawn(label), 64, optax.sgd(0.01, 0.9)
        rng = np.random.default_rng(0)
        batch = {
            "image": rng.integers(0, 256, (size, *one.image_shape), dtype=np.uint8),
            "label": np.arange(size) % 10,
            "id": np.arange(size),
        }
        calls = {}
        for name in ("plain", "w8a8", "w4a4"):
            student = one.module if name == "plain" else models.QuantizedModule(one.module, Scheme.parse(name))
            channels = one.image_shape[-1]
            view = View(mean=(0.5,) * channels, std=(0.5,) * channels)
            objective = Objective(student, {"ce": make_term("ce")}, view=view)  # pyright: ignore[reportArgumentType]
            state = init_state(objective, optimizer, 0, batch)
            update = jax.jit(make_train_step(objective, optimizer))
            calls[name] = functools.partial(_done, update, state, batch)
        times = in_turn(calls, 7)
        cells = [f"{1e3 * min(times['plain']):.1f}", *(ratio(times[name], times["plain"]) for name in ("w8a8", "w4a4"))]
        yield f"| {label} | {size} | {' | '.join(cells)} |"
        yield Goal(f"{label}: a step in four bits over a plain one", middle_ratio(times["w4a4"], times["plain"]), 1.5)


def _done(update: Callable, *given: object) -> object:
    return jax.block_until_ready(update(*given))


def jax2onnx(python: Path, label: str) -> str:
    """What becomes of a network there."""
    command = [str(python), "-m", "benchmarks.compress_jax2onnx", label]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False, timeout=300)
    except subprocess.TimeoutExpired:
        return "not done after 300 s"
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if re.match(r"[\w.]+(Error|Exception|Fail)\b", line)]
        return "refused: " + re.sub(r"[|\n]", " ", (errors or ["?"])[-1])[:70]
    return f"{json.loads(done.stdout.splitlines()[-1])['difference']:.1e}"


SECTIONS = {"files": files, "integers": integers, "latency": latency, "channels": channels, "step": step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--results", type=Path, default=RESULTS / "compress_speed.md")
    given = parser.parse_args()
    load, goals = quiet(), []
    text = ["# Compression and export: files, integers, latency", "`python -m benchmarks.compress` wrote this."]
    for name in given.only.split(","):
        title = (SECTIONS[name].__doc__ or "").strip()
        print(f"\n{title}", flush=True)
        lines = []
        for found in SECTIONS[name]():
            if isinstance(found, Goal):
                goals.append(found)
                continue
            print(found, flush=True)
            lines.append(found)
        text += [f"## {title}", "\n".join(lines)]
    write_page(given.results, text, load, goals)


if __name__ == "__main__":
    main()
