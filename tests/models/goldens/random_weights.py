"""Weights that numpy draws, the same wherever they are drawn: so a golden holds the logits and not the network."""

import zlib

import numpy as np


def random_weights(shapes):
    """Draws arrays, PyTorch's layout, that keep activations of order one; ``shapes`` are by state-dict name."""
    return {name: _draw(name, tuple(shape)) for name, shape in shapes.items() if "num_batches" not in name}


def _draw(name, shape):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) > 1:
        return (rng.standard_normal(shape, np.float32) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
    if name.endswith(("var", "weight")):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return rng.uniform(-0.2, 0.2, shape).astype(np.float32)


def images(*shape):
    """Uniform in [-1, 1], ``[B, H, W, C]`` float32."""
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)
