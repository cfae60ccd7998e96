"""How others call and lay out the arrays of our models."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

#: Of an array of ours, without the collection's name: ``("stage1", "block2", "conv1", "kernel")``.
Path = tuple[str, ...]

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


class Source(NamedTuple):
    """What an array of ours is made of.

    Attributes:
      keys: names in the state dict.
      lay: from these arrays to ours; None: as layers are, ``[O, I, H, W]`` to ``[H, W, I, O]``.
    """

    keys: tuple[str, ...]
    lay: Callable[..., np.ndarray] | None = None


class Around(NamedTuple):
    """Where an array lies.

    Attributes:
      block: the number of its block through all stages, from 0; -1: it is in none.
      modules: what else there is in its block.
      blocks: how many there are.
      stages: how many there are.
    """

    block: int
    modules: frozenset[str]
    blocks: int
    stages: int


@dataclasses.dataclass(frozen=True)
class Scheme:
    """One library's names for a family of networks.

    Attributes:
      name: from an array's path to its name, or to what it is made of.
      renamed: patterns of what older files call otherwise, and what they are called now.
      ignored: a pattern of names that are no weights.
      said: what is to be known when a file is read by it, for names alone do not tell; empty: nothing.
    """

    name: Callable[[Path, Around], "str | Source"]
    renamed: tuple[tuple[str, str], ...] = ()
    ignored: str = r".*num_batches_tracked"
    said: str = ""

    def sources(self, paths: Iterable[Path]) -> list[Source]:
        """What each array is made of."""
        paths = list(paths)
        modules: dict[Path, set[str]] = {}
        for path in paths:
            modules.setdefault(_block(path), set()).update(path[-2:-1])
        blocks = sorted((block for block in modules if block), key=lambda block: [*map(number, block)])
        stages = len({block[:-1] for block in blocks})

        def around(path: Path) -> Around:
            block = _block(path)
            count = blocks.index(block) if block else -1
            return Around(count, frozenset(modules[block]), len(blocks), stages)

        named = [self.name(path, around(path)) for path in paths]
        return [Source((found,)) if isinstance(found, str) else found for found in named]

    def known(self, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A state dict by today's names, without what are no weights."""
        for pattern, now in self.renamed:
            state = {re.sub(pattern, now, key): array for key, array in state.items()}
        return {key: array for key, array in state.items() if not re.fullmatch(self.ignored, key)}


def leaf(path: Path) -> str:
    """PyTorch's name of the last part of a path."""
    return _LEAVES[path[-1]]


def number(part: str) -> int:
    """The number in a part of a path."""
    return int(re.sub(r"\D", "", part))


def in_blocks(names: Mapping[str, str], form: str) -> Callable[[Path, Around], str]:
    """Names of networks whose blocks lie in stages.

    Args:
      names: by module of ours, what it is called; others are called alike.
      form: what an array of a block begins with, of the numbers from 0 of stage ``{0}`` and block ``{1}``, and of both
        from 1, ``{2}`` and ``{3}``.
    """

    def name(path: Path, _: Around) -> str:
        prefix = ""
        if len(path) == 4:
            stage, block = place(path)
            prefix = f"{form.format(stage, block, stage + 1, block + 1)}."
        return f"{prefix}{names.get(path[-2], path[-2])}.{leaf(path)}"

    return name


def _block(path: Path) -> Path:
    """The stage and the block that an array lies in, of transformers the block; empty: neither."""
    end = next((i for i, part in enumerate(path[:-2], start=1) if re.fullmatch(r"block\d+", part)), 0)
    return path[:end]


def place(path: Path) -> tuple[int, int]:
    """From 0, of the stage and of the block that an array lies in."""
    return number(path[0]) - 1, number(path[1]) - 1


def dense(kernel: np.ndarray) -> np.ndarray:
    """``[O, I]`` to ``[I, O]``, of a 1×1 convolution too."""
    return kernel.reshape(kernel.shape[:2]).T


def patches(kernel: np.ndarray) -> np.ndarray:
    """A convolution of patches ``[O, I, p, p]`` as the dense layer of their pixels, ``[p · p · I, O]``."""
    return kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))
