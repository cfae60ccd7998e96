"""How many channels of each group are kept, so that every layer is of a size that hardware likes."""

from collections import defaultdict
from collections.abc import Sequence

from effjax.errors import UserError
from effjax.pruning.channels import ChannelGroup

# What tells groups apart that lie in the same arrays is but where zeros were put beside them: they share a count.
_Piece = tuple[tuple[str, int], ...]


def channel_counts(groups: Sequence[ChannelGroup], keep_fraction: float, *, multiple_of: int = 8) -> tuple[int, ...]:
    """How many channels of each group are kept: a function of the network's shapes alone.

    For every layer, the arrays called ``kernel``, the number that it puts out is rounded as :func:`rounded_count` says.
    Layers with the fewest channels still to be counted come first; what several layers share is so counted once, and
    the others fill up what is left of theirs.

    Args:
      groups: of the whole network, as :func:`effjax.models.channel_groups` finds them.
      keep_fraction: the share that is kept, above 0 and at most 1.
      multiple_of: what the number of a layer's channels is a multiple of, unless all are kept.

    Returns:
      A number for each group, at least 1.

    Raises:
      UserError: if an argument is out of range.

    Example:
      >>> from effjax.pruning import Member
      >>> each = tuple((c,) for c in range(16))
      >>> shared = ChannelGroup(16, (Member("a/kernel", -1, each), Member("b/kernel", -1, each)))
      >>> own = ChannelGroup(16, (Member("b/kernel", -1, tuple((c,) for c in range(16, 32))),))
      >>> channel_counts([shared, own], 0.75)  # 16 of the 16 of a, so that 8 are left of the 24 of b
      (16, 8)

    References:
      Fang et al., `DepGraph: Towards Any Structural Pruning <https://arxiv.org/abs/2301.12900>`_, 2023.
    """
    pieces: dict[_Piece, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        pieces[tuple((member.path, member.axis) for member in group.members)].append(number)
    sizes = {piece: sum(groups[number].size for number in numbers) for piece, numbers in pieces.items()}
    layers: dict[str, list[_Piece]] = defaultdict(list)
    for piece in pieces:
        for path, axis in piece:
            if axis == -1 and path.rpartition("/")[2] == "kernel":
                layers[path].append(piece)
    counts: dict[_Piece, int] = {}

    def uncounted(layer: str) -> list[_Piece]:
        return [piece for piece in layers[layer] if piece not in counts]

    while left := [layer for layer in layers if uncounted(layer)]:
        layer = min(left, key=lambda name: sum(sizes[piece] for piece in uncounted(name)))
        total = rounded_count(sum(sizes[piece] for piece in layers[layer]), keep_fraction, multiple_of=multiple_of)
        rest = total - sum(counts.get(piece, 0) for piece in layers[layer])
        waiting = uncounted(layer)
        for i, piece in enumerate(waiting):
            share = rest * sizes[piece] / sum(sizes[one] for one in waiting[i:])
            wanted = rest if piece is waiting[-1] else round(share / multiple_of) * multiple_of
            counts[piece] = min(max(wanted, min(multiple_of, sizes[piece])), sizes[piece])
            rest -= counts[piece]
    found = {number: groups[number].size for number in range(len(groups))}
    for piece, count in counts.items():
        found.update(_divided(count, {number: groups[number].size for number in pieces[piece]}))
    return tuple(found[number] for number in range(len(groups)))


def rounded_count(size: int, keep_fraction: float, *, multiple_of: int = 8) -> int:
    """Of the multiples of ``multiple_of``, and all, the number nearest to a share of them; of two the larger.

    Args:
      size: how many there are.
      keep_fraction: the share, above 0 and at most 1.
      multiple_of: see above, at least 1. What is fewer than one multiple is kept whole.

    Returns:
      The number, at least 1.

    Raises:
      UserError: if an argument is out of range.

    Example:
      >>> rounded_count(64, 0.7), rounded_count(12, 0.1), rounded_count(4, 0.5)
      (48, 8, 4)
    """
    if not 0 < keep_fraction <= 1:
        raise UserError(f"keep_fraction={keep_fraction!r} must be above 0 and at most 1")
    if isinstance(multiple_of, bool) or not isinstance(multiple_of, int) or multiple_of < 1:
        raise UserError(f"multiple_of={multiple_of!r} must be a whole number, 1 or more")
    wanted = keep_fraction * size
    return min((*range(multiple_of, size, multiple_of), size), key=lambda count: (abs(count - wanted), -count))


def _divided(count: int, sizes: dict[int, int]) -> dict[int, int]:
    """A count shared out evenly; of two sides the second gets what is over, as padding has it."""
    found, left, room = {}, len(sizes), sum(sizes.values())
    for number, size in sizes.items():
        room -= size
        found[number] = max(min(count // left, size), count - room, 1)
        count, left = count - found[number], left - 1
    return found
