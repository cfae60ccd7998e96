"""Plans and stages: what a run does, and when.

Every method that turns something on, off or up during training is a :class:`Plan`, a piecewise-constant function of
training progress for one setting. :func:`stages` cuts a run at the union of all breakpoints, so that any two plans
compose; within a stage nothing static changes, and one compiled program serves it.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

V = TypeVar("V", bound=Hashable)


@dataclasses.dataclass(frozen=True)
class Plan(Generic[V]):
    """One setting as a piecewise-constant function of training progress.

    Attributes:
      setting: the name of what changes, e.g. ``"terms"`` or ``"image_size"``.
      pieces: ``(start, value)`` pairs; ``value`` (hashable) holds from progress ``start`` on. Starts are fractions of
        the run in ``[0, 1)``, the first is 0, and they increase strictly.

    Raises:
      ValueError: if the pieces are empty or no pairs, do not start at 0, do not increase, reach 1, or hold an
        unhashable value.

    Example:
      >>> Plan("image_size", [(0.0, 96), (0.5, 224)])(0.7)
      224
    """

    setting: str
    pieces: tuple[tuple[float, V], ...]

    def __init__(self, setting: str, pieces: Iterable[Sequence[Any]]):
        frozen = _freeze_pieces(setting, pieces)
        object.__setattr__(self, "setting", setting)
        object.__setattr__(self, "pieces", frozen)
        starts = [start for start, _ in frozen]
        if not starts or starts[0] != 0.0:
            raise ValueError(f"plan {setting!r}: the first piece must start at 0, got starts {starts}")
        if not all(a < b for a, b in itertools.pairwise(starts)):  # false for a NaN too
            raise ValueError(f"plan {setting!r}: starts must increase strictly, got {starts}")
        if starts[-1] >= 1.0:
            raise ValueError(f"plan {setting!r}: starts are fractions of the run below 1, got {starts}")

    def __call__(self, progress: float) -> V:
        """Returns the value that holds at ``progress`` (0 at the first step, 1 at the end)."""
        starts = [start for start, _ in self.pieces]
        return self.pieces[max(bisect.bisect_right(starts, progress) - 1, 0)][1]


@dataclasses.dataclass(frozen=True)
class Stage:
    """The steps ``start <= step < stop`` of a run, all with the same ``settings``."""

    start: int
    stop: int
    settings: tuple[tuple[str, Hashable], ...]

    def __getitem__(self, setting: str) -> Hashable:
        return dict(self.settings)[setting]

    def get(self, setting: str, default: Any = None) -> Any:
        """Returns a setting's value, or ``default`` where no plan names it."""
        return dict(self.settings).get(setting, default)

    @property
    def num_steps(self) -> int:
        """How many steps it has."""
        return self.stop - self.start


def stages(
    total_steps: int, plans: Iterable[Plan[Any]] | Mapping[str, Any], *, multiple_of: int = 1
) -> tuple[Stage, ...]:
    """Cuts a run at the union of all the plans' breakpoints.

    A breakpoint at fraction ``f`` falls on the multiple of ``multiple_of`` nearest to ``f * total_steps``. Neighbours
    whose settings are all equal become one stage; a piece too short to own a step is dropped.

    Args:
      total_steps: length of the run, in steps.
      plans: the plans, at most one a setting; or a mapping from setting to pieces.
      multiple_of: stage boundaries are aligned to this many steps.

    Returns:
      Stages in order: the first starts at 0, each starts where the one before stops, the last stops at ``total_steps``.

    Raises:
      ValueError: if ``total_steps`` is not positive or two plans name the same setting.

    Example:
      >>> cut = stages(10, {"image_size": [(0.0, 96), (0.5, 224)], "terms": [(0.0, ("ce", "kd")), (0.8, ("ce",))]})
      >>> [(stage.start, stage.stop, stage["image_size"], stage["terms"]) for stage in cut]
      [(0, 5, 96, ('ce', 'kd')), (5, 8, 224, ('ce', 'kd')), (8, 10, 224, ('ce',))]
    """
    if total_steps <= 0:
        raise ValueError(f"total_steps must be positive, got {total_steps}")
    given = (Plan(str(name), pieces) for name, pieces in plans.items()) if isinstance(plans, Mapping) else plans
    by_name = sorted(given, key=lambda plan: plan.setting)
    names = [plan.setting for plan in by_name]
    if len(set(names)) != len(names):
        raise ValueError(f"two plans for one setting: {names}")

    def to_step(fraction: float) -> int:
        return min(round(fraction * total_steps / multiple_of) * multiple_of, total_steps)

    tracks = {plan.setting: [(to_step(start), value) for start, value in plan.pieces] for plan in by_name}
    cuts = sorted({0, total_steps}.union(*([step for step, _ in track] for track in tracks.values())))
    result: list[Stage] = []
    for start, stop in itertools.pairwise(cuts):
        # The last piece that starts at or before the cut: of pieces rounded onto one step the latest wins.
        settings = tuple((name, [v for step, v in track if step <= start][-1]) for name, track in tracks.items())
        if result and result[-1].settings == settings:
            result[-1] = dataclasses.replace(result[-1], stop=stop)
        else:
            result.append(Stage(start, stop, settings))
    return tuple(result)


def stage_at(plan: Sequence[Stage], step: int) -> int:
    """Returns the index of the stage that ``step`` belongs to (the last one for a finished run).

    Args:
      plan: the stages of a run.
      step: a step of it, or its length.

    Returns:
      The index in ``plan``.

    Example:
      >>> stage_at(stages(10, {"image_size": [(0.0, 96), (0.5, 224)]}), 5)
      1
    """
    return min(bisect.bisect_right([stage.start for stage in plan], step) - 1, len(plan) - 1)


def _freeze_pieces(setting: str, pieces: Iterable[Sequence[Any]]) -> tuple[tuple[float, Hashable], ...]:
    try:
        frozen = tuple((float(start), _freeze(value)) for start, value in pieces)
    except (TypeError, ValueError) as error:
        raise ValueError(f"plan {setting!r}: pieces are pairs (start, value), got {pieces!r}") from error
    for _, value in frozen:
        try:
            hash(value)
        except TypeError as error:
            raise ValueError(f"plan {setting!r}: a value must be hashable, got {value!r}") from error
    return frozen


def _freeze(value: Any) -> Hashable:
    """Lists from config files become tuples, so that settings can be compared and hashed."""
    if isinstance(value, list | tuple):
        return tuple(_freeze(item) for item in value)
    return value
