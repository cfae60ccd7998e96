"""How much of the ranked examples may be drawn from, as training goes on."""

import math
from collections.abc import Callable

from effjax.errors import UserError, check_known

# From the share of the time to full data, in [0, 1], to the share of what is still missing at the start.
_KINDS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "quadratic": lambda x: x**2,
    "root": math.sqrt,
    "step": math.floor,
    "exponential": lambda x: math.expm1(10.0 * x) / math.expm1(10.0),
    "logarithmic": lambda x: 1.0 + math.log(x + math.exp(-10.0)) / 10.0,
}
KINDS: tuple[str, ...] = tuple(_KINDS)


def pacing(kind: str, *, start: float = 0.2, full_at: float = 0.8) -> Callable[[float], float]:
    """A pacing function: from training progress to the share of the data in use.

    Args:
      kind: how the share grows: ``"linear"``, ``"quadratic"``, ``"root"``, ``"step"`` (all at once), ``"exponential"``
        or ``"logarithmic"``.
      start: the share b at the start, in (0, 1].
      full_at: the progress a at which all data is in use, in (0, 1].

    Returns:
      A function from progress in [0, 1] to a share in [start, 1], never falling.

    Raises:
      UserError: naming the argument that is out of range.

    Example:
      >>> share = pacing("linear", start=0.2, full_at=0.8)
      >>> [round(share(progress), 2) for progress in (0.0, 0.4, 0.8, 1.0)]
      [0.2, 0.6, 1.0, 1.0]

    References:
      Wu et al., `When Do Curricula Work? <https://arxiv.org/abs/2012.03107>`_, 2021, table 2.
    """
    check_known(kind, _KINDS, f"pacing kind={kind!r}")
    for name, value in (("start", start), ("full_at", full_at)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise UserError(f"pacing {name}={value!r} must be above 0 and at most 1")

    def share(progress: float) -> float:
        if progress >= full_at:
            return 1.0
        # The logarithm starts a hair (1e-17) below 0 and ends a hair above 1.
        return start + (1.0 - start) * min(max(_KINDS[kind](progress / full_at), 0.0), 1.0)

    return share
