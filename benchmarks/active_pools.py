"""What the selectors are timed on: the same random pools for effjax and for its peers. Needs only numpy."""

import numpy as np

CENTRES, GRADIENTS, JOINT, TYPICAL = 1000, 50, 10, 100  # how many k-center, BADGE, BatchBALD and TypiClust pick
LABELLED = 0  # the one example that k-center starts from, for peers would start from one at random


def k_center() -> dict[str, np.ndarray]:
    """Features ``[20000, 512]``."""
    return {"features": _draw().normal(size=(20_000, 512)).astype(np.float32)}


def k_center_of_200k() -> dict[str, np.ndarray]:
    """Features ``[200000, 512]``."""
    return {"features": _draw().standard_normal((200_000, 512), np.float32)}


def k_center_of_a_million() -> dict[str, np.ndarray]:
    """Features ``[1000000, 512]``, two gigabytes."""
    return {"features": _draw().standard_normal((1_000_000, 512), np.float32)}


def typiclust() -> dict[str, np.ndarray]:
    """Features ``[100000, 512]`` around 300 places."""
    draw = _draw()
    centres = draw.standard_normal((300, 512), np.float32)
    return {"features": centres[draw.integers(0, 300, 100_000)] + draw.standard_normal((100_000, 512), np.float32)}


def badge() -> dict[str, np.ndarray]:
    """Probabilities ``[5000, 10]`` and features ``[5000, 512]``."""
    return {"probs": _predictions(5000)[0], "features": _draw().normal(size=(5000, 512)).astype(np.float32)}


def batch_bald() -> dict[str, np.ndarray]:
    """Probabilities ``[20, 5000, 10]`` of 20 members."""
    return {"probs": _predictions(20, 5000)}


def bald() -> dict[str, np.ndarray]:
    """Probabilities ``[20, 50000, 10]`` of 20 members."""
    return {"probs": _predictions(20, 50_000)}


POOLS = {
    "k_center": k_center,
    "k_center_of_200k": k_center_of_200k,
    "k_center_of_a_million": k_center_of_a_million,
    "typiclust": typiclust,
    "badge": badge,
    "batch_bald": batch_bald,
    "bald": bald,
}


def _draw() -> np.random.Generator:
    return np.random.default_rng(0)


def _predictions(*shape: int) -> np.ndarray:
    logits = 2.0 * _draw().normal(size=(*(shape if len(shape) > 1 else (1, *shape)), 10)).astype(np.float32)
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)
