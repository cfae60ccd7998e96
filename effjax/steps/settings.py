"""What a plan may change as training goes on, by name. One more setting is one object and one line of the registry."""

import dataclasses
import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from effjax import models
from effjax.errors import check_known, nearest
from effjax.models.narrow import groups_of, shapes_of
from effjax.pruning import channel_counts
from effjax.steps.batch_selection import BatchSelection
from effjax.steps.bits import bits_problem, quantize_state, with_bits
from effjax.steps.narrowing import MEASURES, Channels, narrow_state
from effjax.steps.network import Network
from effjax.steps.objective import Objective
from effjax.steps.optimizers import restart
from effjax.steps.pruning import Pruning
from effjax.steps.resolution import resize_state
from effjax.steps.sparsity import RAMP, Level, Sparsity
from effjax.steps.state import TrainState
from effjax.steps.term import Term
from effjax.steps.views import View

Value = Any
Values = Iterable[tuple[str, Hashable]]

_UP_TO = "up to "  # in a plan of what is trained: the layers up to an activation


class Subject(NamedTuple):
    """What a plan's values are read and checked against.

    Attributes:
      objective: of the run, before any plan.
      image_shape: ``(H, W, C)`` of the training images.
    """

    objective: Objective
    image_shape: tuple[int, int, int]


class Entry(NamedTuple):
    """The beginning of a stage in which a setting has another value than before.

    Attributes:
      before: the value in the stage before; None where no plan named the setting.
      value: the value from now on.
      optimizer: the run's.
      shapes: of one network's state in the stage that begins.
      objective: of the stage that begins.
      images: gives training images in batches ``[B, H, W, C]``, as the network is shown them in evaluation, always the
        same ones.
      network: the student in the stage before.
      image_shape: ``(H, W, C)`` of what its module reads there.
      terms: the run's, whichever act in the stage.
    """

    before: Value
    value: Value
    optimizer: optax.GradientTransformation
    shapes: TrainState
    objective: Objective
    images: Callable[[], Iterable[jax.Array]]
    network: Network
    image_shape: tuple[int, int, int]
    terms: Mapping[str, Term]


def piecewise(pieces: Sequence[tuple[int, Value]], _: int) -> optax.Schedule:
    """A piecewise constant schedule of the global step.

    >>> float(piecewise([(0, 1.0), (4, 5.0)], 8)(4))
    5.0
    """

    def at(step: jax.typing.ArrayLike) -> jax.Array:
        index = jnp.searchsorted(jnp.asarray([start for start, _ in pieces]), step, side="right") - 1
        return jnp.asarray([value for _, value in pieces], jnp.float32)[index]

    return at


@dataclasses.dataclass(frozen=True)
class Setting:
    """Something that may have another value in another stage of a run.

    Attributes:
      kind: ``"program"``: every value is compiled into a program of its own. ``"schedule"``: the values are numbers,
        and become one schedule of the global step, traced inside the step. ``"feed"``: only what draws the batches
        looks at it.
      apply: from the objective and a value (of a schedule, the schedule) to the objective as it is then.
      enter: what the beginning of a stage does to the state of one network; None: nothing.
      schedule: of a schedule, from ``(first step, value)`` pairs and the steps of the run to a function of the step.
      read: what a value in a plan stands for.
      check: what is wrong with a value, in words; None: nothing.
      keeps_best: whether what was measured before the value changed may still be the best of the run.
      evaluated: whether networks are evaluated at the stage's value, too.
      reshapes: whether the shapes of the state may depend on it.
      late: whether a run begins without it, its first value None: what it does to a network is done to a trained one.
    """

    kind: Literal["program", "schedule", "feed"]
    apply: Callable[[Objective, Value], Objective] = lambda objective, _: objective
    enter: Callable[[TrainState, Entry], TrainState] | None = None
    schedule: Callable[[Sequence[tuple[int, Value]], int], Callable] = piecewise
    read: Callable[[Value, Subject], Value] = lambda value, _: value
    check: Callable[[Value, Subject], str | None] = lambda *_: None
    keeps_best: bool = True
    evaluated: bool = False
    reshapes: bool = False
    late: bool = False


def _terms(objective: Objective, names: tuple[str, ...]) -> Objective:
    return objective.restrict(names)


def _trainable(objective: Objective, pattern: str) -> Objective:
    return dataclasses.replace(objective, trainable=pattern)


def _by_taps(value: Value, subject: Subject) -> Value:
    """Makes ``"up to <tap>"`` a pattern of the student's parameters up to that activation, and of all the terms'."""
    if not isinstance(value, str) or not value.startswith(_UP_TO):
        return value
    below = models.params_up_to(subject.objective.student, value.removeprefix(_UP_TO), subject.image_shape)
    return f"student/({'|'.join(map(re.escape, below))})|(?!student/).*"


def _restarted(state: TrainState, entry: Entry) -> TrainState:
    return state.replace(opt_state=restart(entry.optimizer, state.opt_state, state.params))


def _sized(objective: Objective, size: int) -> Objective:
    return _with_views(objective, lambda view: dataclasses.replace(view, size=size))


def _with_views(objective: Objective, change: Callable[[View], View]) -> Objective:
    """The objective with all its views changed."""
    further = {name: change(view) for name, view in objective.views.items()}
    return dataclasses.replace(objective, view=change(objective.view), views=further)


def _resized(state: TrainState, entry: Entry) -> TrainState:
    return resize_state(state, entry.shapes)


def _size_problem(size: Value, subject: Subject) -> str | None:
    most = min(subject.image_shape[:2])
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= most:
        return f"{size!r} must be a number of pixels, at most {most}"
    return None


def _with_channels(objective: Objective, value: Value) -> Objective:
    return dataclasses.replace(objective, student=Channels.of(value).of_network(objective.student))


def _narrowed(state: TrainState, entry: Entry) -> TrainState:
    channels = Channels.of(entry.value)
    return narrow_state(state, entry.shapes, entry.network.module, channels, entry.image_shape, entry.terms)


def _channels_problem(value: Value, subject: Subject) -> str | None:
    channels = Channels.of(value)
    if channels.by not in MEASURES:
        return f"{channels.by!r} is not a measure of channels; {nearest(channels.by, MEASURES)}"
    if subject.objective.inputs != ("image",):
        return f"{value!r}: networks that read {', '.join(subject.objective.inputs)} keep their channels"
    groups = groups_of(subject.objective.student, subject.image_shape)
    channel_counts(groups, channels.keep, multiple_of=channels.multiple_of)
    return None


def _magnified(objective: Objective, magnitude: optax.Schedule) -> Objective:
    return _with_views(objective, lambda view: view.at_magnitude(magnitude))


def _magnitude_problem(_: Value, subject: Subject) -> str | None:
    if any(view.has_magnitude for view in (subject.objective.view, *subject.objective.views.values())):
        return None
    return "config.view.operations=0: nothing has a magnitude; 2 is usual"


def _from_candidates(objective: Objective, candidates: float) -> Objective:
    selection = cast(BatchSelection, objective.selection)
    return dataclasses.replace(objective, selection=dataclasses.replace(selection, candidates=float(candidates)))


def _candidates_problem(value: Value, subject: Subject) -> str | None:
    if subject.objective.selection is None:
        return "nothing says how a step chooses among them: give the run a selection, schema.selection('loss')"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < math.inf:
        return f"{value!r} must be a number from 1 on"
    return None


def _replay_problem(value: Value, _: Subject) -> str | None:
    if value == 1 and not isinstance(value, bool):
        return None
    if not is_replay(value):
        return f"{value!r} must be 1, or (how often an example is shown, of how many steps the buffer keeps them)"
    return None


def is_replay(value: Value) -> bool:
    """Whether a value of a plan says how often an example is shown, and how many steps a buffer keeps."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        return False
    return all(isinstance(one, int) and not isinstance(one, bool) for one in value) and value[0] > 1 and value[1] > 0


def _smoothed(objective: Objective, sigma: optax.Schedule) -> Objective:
    return dataclasses.replace(objective, smoothing=sigma)


def _smoothing_problem(value: Value, subject: Subject) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return f"{value!r} must be a number from 0 on"
    params = shapes_of(subject.objective.student, subject.image_shape)["params"]
    if not any(leaf.ndim == 4 and max(leaf.shape[:2]) > 1 for leaf in jax.tree.leaves(params)):
        return "the network has no convolution of more than single pixels: nothing is smoothed"
    return None


def _of_some_tokens(objective: Objective, share: float) -> Objective:
    return dataclasses.replace(objective, student=objective.student.clone(token_share=float(share)))


def _tokens_problem(value: Value, subject: Subject) -> str | None:
    student = subject.objective.student
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        return f"{value!r} must be a share of the patches, above 0 and at most 1"
    if not hasattr(student, "token_share"):
        return f"{value!r}: {type(student).__name__} cannot leave out patches; vit and deit_* can"
    return None if student.head is None else f"{value!r}: the network's head reads all patches"


def _in_parts(objective: Objective, parts: int) -> Objective:
    return dataclasses.replace(objective, accumulate=parts)


def _parts_problem(parts: Value, _: Subject) -> str | None:
    is_whole = isinstance(parts, int) and not isinstance(parts, bool) and parts > 0
    return None if is_whole else f"{parts!r} must be a number of parts, 1 or more"


def _sparse(objective: Objective, sparsity: Sparsity) -> Objective:
    pruning = dataclasses.replace(objective.pruning or Pruning(), sparsity=sparsity)
    return dataclasses.replace(objective, pruning=pruning)


def _sparsity_problem(value: Value, _: Subject) -> str | None:
    if isinstance(value, Level):
        return None
    return f'{value!r} must be a number from 0 to below 1, or a ramp to one, such as "{RAMP} 0.9"'


#: In the order in which the beginning of a stage does what they ask for.
SETTINGS: dict[str, Setting] = {
    "terms": Setting("program", apply=_terms),
    "trainable": Setting("program", apply=_trainable, read=_by_taps, enter=_restarted),
    # Before what wraps the module.
    "tokens": Setting("program", apply=_of_some_tokens, check=_tokens_problem),
    # Before the image size, which refuses whatever else has changed.
    "channels": Setting(
        "program",
        apply=_with_channels,
        check=_channels_problem,
        enter=_narrowed,
        keeps_best=False,
        evaluated=True,
        reshapes=True,
    ),
    "image_size": Setting(
        "program",
        apply=_sized,
        check=_size_problem,
        enter=_resized,
        keeps_best=False,
        evaluated=True,
        reshapes=True,
    ),
    "smoothing": Setting("schedule", apply=_smoothed, check=_smoothing_problem),
    "accumulate": Setting("program", apply=_in_parts, check=_parts_problem),
    "magnitude": Setting("schedule", apply=_magnified, check=_magnitude_problem),
    "sparsity": Setting(
        "schedule",
        apply=_sparse,
        schedule=lambda pieces, total: Sparsity(tuple(pieces), total),
        read=lambda value, _: Level.read(value) or value,  # what it is not, is refused as it was given
        check=_sparsity_problem,
    ),
    "data": Setting("feed", keeps_best=False),
    "candidates": Setting("program", apply=_from_candidates, check=_candidates_problem),
    "replay": Setting("program", check=_replay_problem),  # a batch has one more field
    "bits": Setting(
        "program",
        apply=with_bits,
        check=bits_problem,
        enter=quantize_state,
        keeps_best=False,
        evaluated=True,
        reshapes=True,
        late=True,
    ),
}


def find_setting(name: str) -> Setting:
    """Returns the setting of that name.

    Raises:
      UserError: if there is none.
    """
    check_known(name, SETTINGS, f"{name} is not a setting")
    return SETTINGS[name]


def apply_settings(objective: Objective, values: Values) -> Objective:
    """The objective with settings applied, pairs of a name and a value, in the order of the registry."""
    given = dict(values)
    for name in (name for name in SETTINGS if name in given):
        objective = SETTINGS[name].apply(objective, given[name])
    return objective


def values_that(values: Values, attribute: str) -> tuple[tuple[str, Hashable], ...]:
    """Those of a stage's settings for which a boolean attribute of :class:`Setting` holds."""
    return tuple((name, value) for name, value in values if getattr(SETTINGS[name], attribute))
