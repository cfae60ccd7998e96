"""EfficientTrain: small images and weak augmentation first, the full size and strength last, as plans."""

import math
from collections.abc import Hashable, Mapping, Sequence

from effjax.curricula.plans import Plan
from effjax.errors import UserError, check_known

_PUBLISHED_SIZE = 224
# Of ++, sizes in ten stages of equal compute, by kind of network.
_PLUS_SIZES: Mapping[str, tuple[int, ...]] = {
    "resnet": (96,) * 2 + (160,) * 4 + (224,) * 4,
    "swin": (96,) * 2 + (160,) * 4 + (224,) * 4,
    "deit": (96,) * 2 + (160,) * 4 + (192,) * 2 + (224,) * 2,
    "convnext": (160,) * 6 + (224,) * 4,
}

# Of its code where images are decoded too slowly: by kind of network, how often an example is shown at the smallest
# sizes, and of how many steps a buffer keeps them.
_PLUS_REPLAYS: Mapping[str, tuple[tuple[int, int], ...]] = {
    "resnet": ((4, 1920), (2, 256)),
    "swin": ((2, 1024),),
    "deit": ((4, 1920), (2, 256)),
}


def efficienttrain(final_size: int = 224, *, multiple_of: int = 4) -> tuple[Plan[int], Plan[float]]:
    """EfficientTrain as first published: three sizes, and RandAugment's magnitude rising in fifths of the run.

    At 300 epochs and 224 pixels: 160 pixels for 180 epochs, 192 for 60, 224 for 60, the magnitude 1, 3, 5, 7, 9 for 60
    epochs each. Other sizes keep the proportions.

    Args:
      final_size: the full size, in pixels.
      multiple_of: smaller sizes are rounded to a multiple of so many pixels.

    Returns:
      The plans ``image_size`` and ``magnitude``.

    Raises:
      UserError: if the smallest size would have no pixels.

    Example:
      >>> sizes, magnitude = efficienttrain()
      >>> sizes.pieces
      ((0.0, 160), (0.6, 192), (0.8, 224))
      >>> magnitude(0.5)
      5.0

    References:
      Wang et al., `EfficientTrain: Exploring Generalized Curriculum Learning for Training Visual Backbones
      <https://arxiv.org/abs/2211.09703>`_, 2023, table 5.
    """
    sizes = [(0.0, 160), (0.6, 192), (0.8, 224)]
    return (
        Plan("image_size", [(start, scaled(size, final_size, multiple_of)) for start, size in sizes]),
        Plan("magnitude", [(fifth / 5, float(1 + 2 * fifth)) for fifth in range(5)]),
    )


def efficienttrain_plus(
    kind: str = "resnet", final_size: int = 224, *, multiple_of: int = 4
) -> tuple[Plan[int], Plan[float]]:
    """EfficientTrain++: ten stages of equal compute, the magnitude 0 to 9.

    A step at B pixels is taken to cost (B / final_size)² of a full one, so that a stage of small images has more steps.
    As published, the learning rate follows the compute that has been spent, not the steps: see
    :func:`compute_progress`; and a budget of 200 epochs is 200 epochs' compute at full size: see
    :func:`epochs_for_compute`.

    Args:
      kind: of network: ``"resnet"``, ``"swin"``, ``"deit"`` or ``"convnext"``; they differ in the sizes.
      final_size: the full size, in pixels.
      multiple_of: smaller sizes are rounded to a multiple of so many pixels.

    Returns:
      The plans ``image_size`` and ``magnitude``.

    Raises:
      UserError: if there is no such kind, or the smallest size would have no pixels.

    References:
      Wang et al., `EfficientTrain++: Generalized Curriculum Learning for Efficient Visual Backbone Training
      <https://arxiv.org/abs/2405.08768>`_, 2024, table 4.
    """
    check_known(kind, _PLUS_SIZES, f"kind={kind!r}")
    sizes = [scaled(size, final_size, multiple_of) for size in _PLUS_SIZES[kind]]
    starts = _starts([(final_size / size) ** 2 for size in sizes])
    changes = [i for i, size in enumerate(sizes) if i == 0 or size != sizes[i - 1]]
    return (
        Plan("image_size", [(starts[i], sizes[i]) for i in changes]),
        Plan("magnitude", [(start, float(stage)) for stage, start in enumerate(starts)]),
    )


def efficienttrain_replay(kind: str = "resnet") -> Plan[Hashable]:
    """EfficientTrain++'s replay buffer: of its smallest images, few of a step are decoded, the others shown again.

    For machines whose processors decode fewer images than its accelerator trains on. It goes with
    :func:`efficienttrain_plus` of the same kind, has as many steps, and takes memory: 1,920 steps of 1,024 images that
    are decoded at 96 pixels are 51 GiB, which may be divided by more processes.

    Args:
      kind: of network: ``"resnet"``, ``"swin"`` or ``"deit"``.

    Returns:
      The plan ``replay``: by size, how often an example is shown, and of how many steps the buffer keeps them; 1 from
      the size on at which all are decoded.

    Raises:
      UserError: if there is no such kind.

    Example:
      >>> [value for _, value in efficienttrain_replay("swin").pieces]
      [(2, 1024), 1]

    References:
      `_ET_pp_wReplay_main_res50.py <https://github.com/LeapLabTHU/EfficientTrain>`_ and the others beside it.
    """
    check_known(kind, _PLUS_REPLAYS, f"kind={kind!r}")
    starts = [start for start, _ in efficienttrain_plus(kind)[0].pieces]
    return Plan("replay", list(zip(starts, (*_PLUS_REPLAYS[kind], 1), strict=False)))


def relative_cost(image_size: Plan[int], seconds: Mapping[int, float] | None = None) -> float:
    """What a run under a plan of sizes costs, over a run of as many steps at the last size.

    Args:
      image_size: the plan.
      seconds: by size, what a step takes; None counts pixels.

    Returns:
      The share, 1 for a plan that never changes.

    Raises:
      UserError: if a size has no time.

    Example:
      >>> relative_cost(Plan("image_size", [(0.0, 112), (0.5, 224)]))  # half of the steps at a quarter of the pixels
      0.625
    """
    _, costs, shares = _costs(image_size, seconds)
    return math.fsum(cost * share for cost, share in zip(costs, shares, strict=True))


def epochs_for_compute(image_size: Plan[int], full_epochs: float) -> float:
    """How many epochs under a plan of sizes cost as much as ``full_epochs`` at the last size.

    Args:
      image_size: the plan.
      full_epochs: epochs at the last size.

    Returns:
      The epochs, more than ``full_epochs`` where the plan has smaller sizes.

    Example:
      >>> epochs_for_compute(Plan("image_size", [(0.0, 112), (0.5, 224)]), 100)
      160.0
    """
    return full_epochs / relative_cost(image_size)


def compute_progress(image_size: Plan[int]) -> tuple[tuple[float, float], ...]:
    """The share of a run's compute that has been spent, as a function of the share of its steps.

    Args:
      image_size: the plan.

    Returns:
      Corners ``(share of the steps, share of the compute)`` of a piecewise linear function, from (0, 0) to (1, 1).

    Example:
      >>> compute_progress(Plan("image_size", [(0.0, 112), (0.5, 224)]))
      ((0.0, 0.0), (0.5, 0.2), (1.0, 1.0))
    """
    starts, costs, shares = _costs(image_size, None)
    spent = [cost * share for cost, share in zip(costs, shares, strict=True)]
    corners = [math.fsum(spent[:i]) / math.fsum(spent) for i in range(len(spent))]
    return (*zip(starts, corners, strict=True), (1.0, 1.0))


def warmups_for_compute(
    image_size: Plan[int], full_epochs: float, warmup_epochs: float
) -> tuple[tuple[float, float], ...]:
    """The warm-up of each stage of a plan of sizes, where the learning rate follows the compute that has been spent.

    In a stage of B pixels, EfficientTrain++'s code takes the learning rate of a run that has this size throughout,
    costs as much, and has so many epochs of warm-up: a smaller share of its epochs, the smaller B.

    Args:
      image_size: the plan.
      full_epochs: how many epochs at the last size cost as much as the run.
      warmup_epochs: of warm-up, at any size.

    Returns:
      ``(from which share of the steps, share of the schedule that is warm-up)``, for ``schedule.warmups`` beside
      ``schedule.progress``, see :func:`compute_progress`.

    Example:
      >>> warmups_for_compute(Plan("image_size", [(0.0, 112), (0.5, 224)]), 100, 20)
      ((0.0, 0.05), (0.5, 0.2))
    """
    starts, costs, _ = _costs(image_size, None)
    return tuple((start, warmup_epochs / full_epochs * cost) for start, cost in zip(starts, costs, strict=True))


def scaled(size: int, final_size: int, multiple_of: int) -> int:
    """A size published for 224 pixels, in proportion to another full size.

    Raises:
      UserError: if no pixels are left.
    """
    if size == _PUBLISHED_SIZE:
        return final_size
    pixels = round(size * final_size / _PUBLISHED_SIZE / multiple_of) * multiple_of
    if not 0 < pixels <= final_size:
        raise UserError(f"final_size={final_size} leaves {pixels} pixels of {size}; use a smaller multiple_of")
    return pixels


def _costs(image_size: Plan[int], seconds: Mapping[int, float] | None) -> tuple[list[float], list[float], list[float]]:
    """By piece: where it starts, a step's cost over one at the last size, and its share of the steps."""
    starts = [start for start, _ in image_size.pieces]
    sizes = [size for _, size in image_size.pieces]
    times = seconds if seconds is not None else {size: float(size) ** 2 for size in sizes}
    for size in sizes:
        if size not in times:
            raise UserError(f"seconds: no time of a step at {size} pixels; there are {sorted(times)}")
    shares = [stop - start for start, stop in zip(starts, [*starts[1:], 1.0], strict=True)]
    return starts, [times[size] / times[sizes[-1]] for size in sizes], shares


def _starts(lengths: Sequence[float]) -> list[float]:
    total = math.fsum(lengths)
    return [math.fsum(lengths[:i]) / total for i in range(len(lengths))]
