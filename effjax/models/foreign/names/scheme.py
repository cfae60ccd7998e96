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


@dataclasses.dataclass(frozen=True)
class Scheme:
    """One library's names for a family of networks.

    Attributes:
      name: from an array's path, and the number of its block through all stages (from 0), to its name or to what it is
        made of.
      renamed: patterns of what older files call otherwise, and what they are called now.
      ignored: a pattern of names that are no weights.
    """

    name: Callable[[Path, int], "str | Source"]
    renamed: tuple[tuple[str, str], ...] = ()
    ignored: str = r".*num_batches_tracked"

    def sources(self, paths: Iterable[Path]) -> list[Source]:
        """What each array is made of."""
        paths = list(paths)
        blocks = sorted({path[:2] for path in paths if _in_block(path)}, key=lambda block: [*map(number, block)])
        numbers = {block: count for count, block in enumerate(blocks)}
        named = [self.name(path, numbers.get(path[:2], -1)) for path in paths]
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


def _in_block(path: Path) -> bool:
    return len(path) > 3 and path[1].startswith("block")


def place(path: Path) -> tuple[int, int]:
    """From 0, of the stage and of the block that an array lies in."""
    return number(path[0]) - 1, number(path[1]) - 1


def patches(kernel: np.ndarray) -> np.ndarray:
    """A convolution of patches ``[O, I, p, p]`` as the dense layer of their pixels, ``[p · p · I, O]``."""
    return kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))
