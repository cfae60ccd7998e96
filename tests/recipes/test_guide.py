"""The guide for a newcomer, run as it is written: their own teacher, their own photos."""

import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from processes import CACHE, REPOSITORY
from safetensors.numpy import save_file

from effjax import models
from effjax.models.foreign import names

GUIDE = (REPOSITORY / "docs" / "distil_your_own.md").read_text()
CLASSES = ("cat", "dog", "newt")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def home(tmp_path):
    """A newcomer's folder: photos, a teacher, the config from the guide."""
    draw = np.random.default_rng(0)
    for split, count in {"train": 12, "validation": 4, "test": 4}.items():
        for number, name in enumerate(CLASSES):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = draw.normal(60 + 60 * number, 30, (70, 80, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.jpg")
    save_file(state_dict(), tmp_path / "teacher.safetensors")
    (tmp_path / "my_distillation.py").write_text(blocks("python")[0])
    return tmp_path


def state_dict() -> dict[str, np.ndarray]:
    """A ResNet-18 for three classes with PyTorch's names and layout."""
    module = models.create("resnet18", len(CLASSES))
    variables = jax.eval_shape(module.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32))
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    paths = [tuple(part.key for part in path) for path, _ in leaves]
    keys = [source.keys[0] for source in names.schemes_of("resnet18")[0].sources(path[1:] for path in paths)]
    draw = np.random.default_rng(1)
    arrays = {}
    for key, path, (_, leaf) in zip(keys, paths, leaves, strict=True):
        fan_in = max(int(np.prod(leaf.shape[:-1])), 1)
        value = draw.normal(0, fan_in**-0.5, leaf.shape) if path[-1] == "kernel" else np.ones(leaf.shape)
        order = (3, 2, 0, 1) if value.ndim == 4 else tuple(range(value.ndim))[::-1]
        arrays[key] = np.ascontiguousarray(value.transpose(order), np.float32)
    return arrays


def test_the_guide_as_it_is_written(home: pathlib.Path):
    config, (command,) = blocks("python")[0], blocks("bash")
    assert len([line for line in config.splitlines() if line.strip()]) <= 20
    quick = ["--config.num_seeds=1", "--config.runs.student.epochs=1", "--config.runs.distilled.epochs=1"]
    quick += [
        "--config.runs.student.evaluations=1",
        "--config.runs.distilled.evaluations=1",
        "--config.eval_batch_size=12",
    ]
    done = subprocess.run(
        [sys.executable, *command.split()[1:], *quick, f"--compilation_cache={CACHE}"],
        cwd=home,
        env={"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu", "PATH": "", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "distilled" in done.stdout
    assert (home / "runs" / "mine" / "report.html").exists()
