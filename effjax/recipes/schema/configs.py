"""Configs of ``ml_collections``, made from the classes of the schema; and the check of a whole config."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import ml_collections

from effjax.errors import refuse
from effjax.recipes.schema.cross import cross_problems
from effjax.recipes.schema.example_keys import Coreset, Pacing, Selection, Weighting
from effjax.recipes.schema.experiment_keys import Experiment, Export
from effjax.recipes.schema.fields import keys_of, plain
from effjax.recipes.schema.loop_keys import Active, Outliers, Query, Stream
from effjax.recipes.schema.rules import problems
from effjax.recipes.schema.run_keys import Rewind, Run, Teacher


def experiment() -> ml_collections.ConfigDict:
    """An experiment: runs that share data, over several seeds. Fill ``runs`` with :func:`run`."""
    return ml_collections.ConfigDict(plain(Experiment()))


def active() -> ml_collections.ConfigDict:
    """How a labelling loop goes; an :func:`experiment` has it already."""
    return ml_collections.ConfigDict(plain(Active()))


def run(**given: Any) -> ml_collections.ConfigDict:
    """One run of an experiment; ``given`` are keys of :class:`~effjax.recipes.schema.run_keys.Run`."""
    config = ml_collections.ConfigDict(plain(Run()))
    for name, value in given.items():
        config[name] = value
    return config


def export(run: str, **given: Any) -> ml_collections.ConfigDict:
    """A file that a run becomes; ``given`` are keys of :class:`~effjax.recipes.schema.experiment_keys.Export`."""
    return ml_collections.ConfigDict(plain(Export(run=run, **given)))


def query(**given: Any) -> ml_collections.ConfigDict:
    """How a loop chooses; ``given`` are keys of :class:`~effjax.recipes.schema.loop_keys.Query`."""
    return ml_collections.ConfigDict(plain(Query(**given)))


def outliers(share: Iterable[Iterable[float]], **given: Any) -> ml_collections.ConfigDict:
    """What a loop leaves out of its pool.

    Args:
      share: of the pool, a plan over the rounds.
      **given: further keys of :class:`~effjax.recipes.schema.loop_keys.Outliers`.
    """
    return ml_collections.ConfigDict(plain(Outliers(share=tuple(tuple(piece) for piece in share), **given)))


def stream(policy: str, budget: float, **options: Any) -> ml_collections.ConfigDict:
    """A pool that passes by once, see :class:`~effjax.recipes.schema.loop_keys.Stream`.

    Args:
      policy: which, see :mod:`effjax.selection.streams`.
      budget: the share of the examples that may be asked for.
      **options: of the policy.
    """
    return ml_collections.ConfigDict({**plain(Stream(policy=policy, budget=budget)), **options})


def paced(kind: str, **given: Any) -> ml_collections.ConfigDict:
    """A run that draws from a growing share of the examples.

    Args:
      kind: how it grows, see :func:`effjax.curricula.pacing`.
      **given: further keys of :class:`~effjax.recipes.schema.example_keys.Pacing`.
    """
    return ml_collections.ConfigDict(plain(Pacing(kind=kind, **given)))


def coreset(share: float, **given: Any) -> ml_collections.ConfigDict:
    """A run that draws from a part of the examples, chosen before it begins.

    Args:
      share: how much of them is kept.
      **given: further keys of :class:`~effjax.recipes.schema.example_keys.Coreset`.
    """
    return ml_collections.ConfigDict(plain(Coreset(share=share, **given)))


def weighting(name: str, **options: Any) -> ml_collections.ConfigDict:
    """What examples count for, by their losses.

    Args:
      name: which, see :mod:`effjax.steps.weightings`.
      **options: of it, see :class:`~effjax.recipes.schema.example_keys.Weighting`.
    """
    return ml_collections.ConfigDict(plain(Weighting(name=name, **options)))


def selection(score: str, **options: Any) -> ml_collections.ConfigDict:
    """Which of the candidates a step trains on.

    Args:
      score: by what, see :mod:`effjax.steps.batch_selection`.
      **options: of it, see :class:`~effjax.recipes.schema.example_keys.Selection`.
    """
    return ml_collections.ConfigDict(plain(Selection(score=score, **options)))


def rewound(run: str, *, step: int = 0, masks: str = "") -> ml_collections.ConfigDict:
    """A run that starts where another was; see :class:`~effjax.recipes.schema.run_keys.Rewind`."""
    return ml_collections.ConfigDict(plain(Rewind(run=run, step=step, masks=masks)))


def distilled(
    student: ml_collections.ConfigDict,
    label: str,
    terms: Mapping[str, Any],
    teacher: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
    """The same run with a teacher, named ``teacher``, and other terms; ``student`` stays as it is."""
    config = student.copy_and_resolve_references()
    config.label, config.terms = label, dict(terms)
    cast(Any, config).teachers.teacher = teacher
    return config


def teacher_of_run(
    name: str, *, cached: str = "", step: str = "last", seeds: Iterable[int] = ()
) -> ml_collections.ConfigDict:
    """A teacher that is another run of the same experiment; see :class:`~effjax.recipes.schema.run_keys.Teacher`."""
    return _teacher(run=name, cached=cached, step=step, seeds=seeds)


def teacher_of_checkpoint(folder: str, *, cached: str = "", step: str = "last") -> ml_collections.ConfigDict:
    """A teacher from an earlier run's folder, the one that holds ``checkpoints/``."""
    return _teacher(checkpoint=folder, cached=cached, step=step)


def teacher_of_weights(
    model: str,
    *,
    file: str = "",
    part: str = "",
    options: Mapping[str, Any] | None = None,
    classes: Iterable[Any] = (),
    mean: Iterable[float] = (),
    std: Iterable[float] = (),
    image_size: int = 0,
    cached: str = "",
) -> ml_collections.ConfigDict:
    """A teacher that another framework has trained; see :class:`~effjax.recipes.schema.run_keys.Teacher`."""
    given = {"file": file, "part": part, "classes": classes, "mean": mean, "std": std, "image_size": image_size}
    return _teacher(weights=model, options=dict(options or {}), cached=cached, **given)


def teacher_of_function(
    named: str,
    *,
    mean: Iterable[float],
    std: Iterable[float],
    file: str = "",
    classes: Iterable[Any] = (),
    image_size: int = 0,
    cached: str = "",
) -> ml_collections.ConfigDict:
    """A teacher that a function of one's own makes; see :class:`~effjax.recipes.schema.run_keys.Teacher`."""
    given = {"file": file, "classes": classes, "mean": mean, "std": std, "image_size": image_size}
    return _teacher(function=named, cached=cached, **given)


def _teacher(**given: Any) -> ml_collections.ConfigDict:
    for name in ("seeds", "classes", "mean", "std"):
        given[name] = tuple(given.get(name, ()))
    return ml_collections.ConfigDict(plain(Teacher(**given)))


def check(config: Mapping[str, Any], *more: Callable[[Mapping[str, Any]], Iterable[str]]) -> None:
    """Refuses what a config cannot say: unknown and missing keys, values out of range, names that nothing has.

    Args:
      config: as :func:`experiment` lays it out, plain.
      *more: what else may be wrong with it, a line each; looked at where its keys and values are right by themselves.

    Raises:
      UserError: a line for each mistake, naming the key, the value, and what is allowed.
    """
    refuse(problems(keys_of(Experiment), config, "config"))
    refuse([*cross_problems(config), *(line for one in more for line in one(config))])
