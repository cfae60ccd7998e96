"""What is learnt: all that the rest of the package does not know about labels."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from effjax.images.targets import Kind
from effjax.metrics import Metric
from effjax.specs import Spec
from effjax.steps.objective import Outcome
from effjax.steps.predictions import Following, Items
from effjax.tasks.answers import AnswerFormat
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class Task:
    """What is learnt of an example. Data: the training loop never sees it.

    Attributes:
      name: as configs say it.
      inputs: the features that networks read, in the order of their call.
      targets: the features that they learn, by name: type, padded shape, padding.
      metrics: what is measured of predictions, by name.
      watch: the metric that says which network is best; higher is better.
      measure: from what is kept of the predictions on a whole set, and its targets, numpy, to what results and tables
        say of it.
      items: from the predictions of M members, their axis first, to what uncertainty looks at.
      following: how items are found again in augmented images, of a task whose items have places.
      floor: from what is kept of the predictions on a whole set, and its targets, to how sure a network has to be of an
        item for it to count, from 0 to 1; None where all count.
      tags: from the same, and that floor, to how well what is found agrees with what is there, without and with knowing
        which classes there are in an example, see :func:`effjax.tasks.found_rightly.worth_of_tags`; None where tags say
        nothing new.
      class_quality: from the same, and the number of classes, to how well each of them is found, from 0 to 1.
      answers: from the names of the dataset's classes to how answers are written, kept and learnt.
      label: what tables call the watched metric; "" calls it by its name.
      counted: what an answer's items are called, where it may have several, such as boxes.
      columns: what tables show besides it: by metric, the heading.
      moves: by target that follows the pixels where the view moves them, how: see :class:`effjax.steps.View`.
      outcome: see :class:`effjax.steps.Objective`; None where there is nothing to record of an example.
      kept: from predictions to what is kept of those of a whole set, which :attr:`measure` looks at; None: all.
      marks: from what is kept of the predictions on some images and their targets to the true boxes of each and those
        found, ``[n, 4]`` each, for people to look at; None where there are none.
      official: from what is kept of the predictions on a whole set, its targets, height and width of its images and the
        names of its classes to the numbers that papers give, by the code that they are computed by; it raises UserError
        where that is not installed.
      head: makes the head that a network needs to predict this; None: a classifier of the dataset's classes.
      noted: features that :meth:`measure` looks at beside the targets, of data that have them, and nothing else does;
        where numbers stand for names, it gets the names.
      attention: the tap of networks that says where on a grid over the image they look, ``[B, heads, places]``.
      curves: metrics beside the watched one that labelling loops are compared by, of data that give them: by metric,
        what it is called.
      of_classes: whether an example is of one of the dataset's classes, and that is what is learnt: then tables speak
        of calibration and reports of classes.
    """

    name: str
    inputs: tuple[str, ...]
    targets: Mapping[str, Spec]
    metrics: Mapping[str, Metric]
    watch: str
    measure: Callable[[PyTree, Mapping[str, np.ndarray]], Mapping[str, float]]
    items: Callable[[PyTree], Items]
    answers: Callable[[tuple[str, ...]], AnswerFormat]
    label: str = ""
    counted: str = ""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    moves: Mapping[str, Kind | str] = dataclasses.field(default_factory=dict)
    outcome: Outcome | None = None
    following: Following | None = None
    floor: Callable[[PyTree, Mapping[str, np.ndarray]], float] | None = None
    tags: Callable[[PyTree, Mapping[str, np.ndarray], float], dict[str, float]] | None = None
    class_quality: Callable[[PyTree, Mapping[str, np.ndarray], int], list[float]] | None = None
    kept: Callable[[PyTree], PyTree] | None = None
    marks: Callable[[PyTree, Mapping[str, np.ndarray]], Sequence[tuple[np.ndarray, np.ndarray]]] | None = None
    official: Callable[[PyTree, Mapping[str, np.ndarray], tuple[int, int], tuple[str, ...]], dict[str, Any]] | None = (
        None
    )
    head: Callable[[], nn.Module] | None = None
    noted: tuple[str, ...] = ()
    attention: str = ""
    curves: Mapping[str, str] = dataclasses.field(default_factory=dict)
    of_classes: bool = False

    @property
    def watched(self) -> str:
        """What sentences and axes call the watched metric: as tables do, but not by an abbreviation with a point."""
        return self.watch if not self.label or self.label.endswith(".") else self.label

    @property
    def features(self) -> tuple[str, ...]:
        """What of an example goes to the device."""
        return (*self.inputs, *self.targets, "id")
