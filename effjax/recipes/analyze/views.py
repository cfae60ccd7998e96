"""What the networks are shown: images as they are, changed, attacked, from another world; and what they answer."""

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from effjax import analysis
from effjax.images import random_crop
from effjax.recipes.analyze.networks import Network, over_batches
from effjax.steps import rng

_log = logging.getLogger("effjax")

Change = Callable[[jax.Array, jax.Array], jax.Array]

#: Changes that leave the class as it is: keys ``[B]`` and pixels ``[B, H, W, C]`` to pixels.
TRANSFORMS: Mapping[str, Change] = {
    "colour": jax.jit(analysis.color_jitter),
    "crop": jax.jit(analysis.random_resized_crop),
    "shift": jax.jit(lambda keys, pixels: random_crop(keys, pixels, max(1, round(pixels.shape[1] / 10)))),
}
#: Images that no network was trained on.
DOMAINS: Mapping[str, Change] = {
    "inverted images": jax.jit(lambda keys, pixels: analysis.invert(pixels)),
    "edges": jax.jit(lambda keys, pixels: analysis.edges(pixels)),
    "noisy images": jax.jit(analysis.add_noise),
    "blurred images": jax.jit(lambda keys, pixels: analysis.blur(pixels)),
    "shuffled patches": jax.jit(analysis.shuffle_patches),
}
#: The attacks' sizes, in grey levels of 255, from the weakest.
LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def unchanged(keys: jax.Array, pixels: jax.Array) -> jax.Array:
    """The pixels as they are."""
    return pixels


def random_signs(keys: jax.Array, pixels: jax.Array, *, epsilon: float) -> jax.Array:
    """A change as large as an attack's, that nobody has chosen."""
    signs = jax.vmap(lambda key: jax.random.rademacher(key, pixels.shape[1:], pixels.dtype))(keys)
    return jnp.clip(pixels + epsilon * signs, 0.0, 1.0)


def answers(
    networks: Sequence[Network], images: np.ndarray, ids: np.ndarray, change: Change, seed: int, purpose: str, size: int
) -> dict[str, np.ndarray]:
    """The networks' logits ``[N, K]`` on changed images, all on the very same ones.

    Args:
      networks: who is asked.
      images: uint8 ``[N, H, W, C]``.
      ids: global ids ``[N]``; what happens to an image depends on (seed, purpose, id) alone.
      change: from keys ``[B]`` and pixels in ``[0, 1]`` to pixels.
      seed: of the draws.
      purpose: names the draws.
      size: images at once.

    Returns:
      By the networks' labels.
    """
    started = time.monotonic()
    draw = jax.jit(functools.partial(rng.example_keys, rng.purpose_key(seed, 0, f"analyze/{purpose}")))

    def ask(images, ids):
        pixels = change(draw(ids), jnp.asarray(images, jnp.float32) / 255.0)
        return [np.asarray(network.logits(pixels)) for network in networks]

    batches = over_batches(ask, size, images, ids)
    _log.info("%s: %d images, %.1f s", purpose, len(images), time.monotonic() - started)
    return {
        network.label: np.concatenate(parts)[: len(images)]
        for network, parts in zip(networks, zip(*batches, strict=True), strict=True)
    }


def weakest_attack(teacher: Network, images: np.ndarray, size: int) -> float:
    """The smallest size of :data:`LADDER`, as a share of the range, that turns half of the teacher's answers.

    Where none does, the largest. Measured on the first images only: it just sets the scale.
    """
    pixels = jnp.asarray(images[:size], jnp.float32) / 255.0
    before = teacher.logits(pixels).argmax(-1)
    for levels in LADDER:
        turned = (teacher.logits(teacher.attack(pixels, levels / 255)).argmax(-1) != before).mean()
        _log.info("attack of %d grey levels turns %.0f %% of the teacher's answers", levels, 100 * float(turned))
        if turned >= 0.5:
            break
    return levels / 255
