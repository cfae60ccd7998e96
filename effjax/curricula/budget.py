"""A curriculum of sizes for a given compute budget, from what steps were measured to take."""

from collections.abc import Mapping

from effjax.curricula.efficienttrain import efficienttrain
from effjax.curricula.plans import Plan
from effjax.errors import UserError

_LEAST_SHARE, _MOST_SHARE = 0.05, 1 / 3  # of the two larger sizes: each is seen, and none for longer than the smallest


def for_budget(
    cost: float, seconds: Mapping[int, float], *, final_size: int = 224, multiple_of: int = 4
) -> tuple[Plan[int], Plan[float]]:
    """EfficientTrain's sizes and magnitudes, their lengths fitted to a budget.

    The two larger sizes get equal shares of the steps, as published; the share is what meets the budget. At
    (B / 224)² a step and ``cost=0.653`` it is the published plan.

    Args:
      cost: of the run, over a run of as many steps at full size.
      seconds: by size, what a step takes, as ``python -m launch.budget`` measures it; it needs the three sizes of
        ``efficienttrain(final_size)``.
      final_size: the full size, in pixels.
      multiple_of: smaller sizes are rounded to a multiple of so many pixels.

    Returns:
      The plans ``image_size`` and ``magnitude``.

    Raises:
      UserError: if a size was not measured, or the budget cannot be met; says what can.

    Example:
      >>> sizes, _ = for_budget(0.653, {size: size**2 for size in (160, 192, 224)})
      >>> [(round(start, 2), size) for start, size in sizes.pieces]
      [(0.0, 160), (0.6, 192), (0.8, 224)]
    """
    sizes, magnitude = efficienttrain(final_size, multiple_of=multiple_of)
    small, middle, full = (size for _, size in sizes.pieces)
    for size in (small, middle, full):
        if size not in seconds:
            raise UserError(f"seconds: no time of a step at {size} pixels; there are {sorted(seconds)}")
    a, b = seconds[small] / seconds[full], seconds[middle] / seconds[full]
    # cost = (1 - 2s) a + s b + s
    slope = 1.0 + b - 2.0 * a
    least, most = a + _LEAST_SHARE * slope, a + _MOST_SHARE * slope
    if slope <= 0 or not least - 1e-9 <= cost <= most + 1e-9:
        raise UserError(
            f"cost={cost} cannot be met with {small}, {middle} and {full} pixels: {least:.2f} to {most:.2f}"
        )
    share = (cost - a) / slope
    return Plan("image_size", [(0.0, small), (1 - 2 * share, middle), (1 - share, full)]), magnitude
