"""Teachers from their config: another run, an earlier run's folder, another framework's weights, or a function."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from effjax import models
from effjax.data.base import DatasetInfo
from effjax.data.tables import Lookup
from effjax.errors import UserError, nearest
from effjax.models import foreign
from effjax.pruning.paths import path_name
from effjax.recipes.build.datasets import Datasets
from effjax.recipes.build.own_teachers import own_teacher
from effjax.recipes.build.trained import TrainedRun
from effjax.steps import (
    OF_SEVERAL_TEACHERS,
    TERMS,
    CachedTeacher,
    NetworkTeacher,
    StreamedTeacher,
    View,
    resize_table,
)
from effjax.steps.term import Teacher
from effjax.typing import PyTree


@dataclasses.dataclass(frozen=True)
class TeacherSpec:
    """One teacher of a run.

    Attributes:
      network: the teacher as a network.
      shapes: of its variables.
      load: from a function that gives a finished run's variables, ``(run, seed or None, "last" or "best")``, to the
        teacher's variables on the host.
      cached: how its answers are stored, or ``""``: it runs beside the student.
      origin: what it is called where it is no run of the experiment; empty for a run.
    """

    network: NetworkTeacher
    shapes: PyTree
    load: Callable[[Callable[[str, int | None, str], PyTree]], PyTree]
    cached: str = ""
    origin: str = ""

    def in_step(self, num_classes: int, lookup: Lookup | None = None) -> Teacher:
        """The teacher as the training step asks it; with a lookup, its answers come with the batch."""
        if lookup is not None:
            return StreamedTeacher(num_classes, lookup.prefix)
        return CachedTeacher(num_classes) if self.cached else self.network


def expand(config: Mapping[str, Any]) -> dict[str, Any]:
    """Makes a teacher of several seeds several teachers, ``name@0``, ``name@1``, …, and names them in the terms."""
    teachers, groups = {}, {}
    for name, source in config["teachers"].items():
        if not source["seeds"]:
            teachers[name] = source
            continue
        groups[name] = [f"{name}@{seed}" for seed in source["seeds"]]
        teachers.update({f"{name}@{seed}": {**source, "seeds": [seed]} for seed in source["seeds"]})
    terms = {name: _name_members(name, options, groups) for name, options in config["terms"].items()}
    return {**config, "teachers": teachers, "terms": terms}


def _name_members(name: str, options: Any, groups: Mapping[str, list[str]]) -> Any:
    """A term's options, the teacher that is a group replaced by its members."""
    if not isinstance(options, Mapping) or "teacher" not in _options_of(kind := options.get("kind", name)):
        return options
    named = options.get("teacher", "teacher")
    if isinstance(named, str) and kind not in OF_SEVERAL_TEACHERS and len(groups.get(named, ())) == 1:
        return {**options, "teacher": groups[named][0]}
    if isinstance(named, str):
        return {**options, "teacher": groups[named]} if named in groups else options
    return {**options, "teacher": [member for one in named for member in groups.get(one, [one])]}


def _options_of(kind: str) -> Mapping[str, Any]:
    return (TERMS[kind].__kwdefaults__ if kind in TERMS else None) or {}


def make_teacher(
    key: str,
    source: Mapping[str, Any],
    module_of: Callable[[str], nn.Module],
    datasets: Datasets,
    shape: tuple[int, int, int],
) -> TeacherSpec:
    """Makes a teacher from its config.

    Args:
      key: of the config, for errors.
      source: as :func:`effjax.recipes.schema.teacher_of_run` and the like lay it out.
      module_of: from the name of one of the experiment's runs to the module that it ends with.
      datasets: the experiment's data.
      shape: of an image, ``(H, W, C)``.

    Raises:
      UserError: if the teacher does not fit the data: other classes, a scale of its input that nobody has told.
    """
    if source["run"]:
        module, seed = module_of(source["run"]), source["seeds"][0] if source["seeds"] else None
        made = NetworkTeacher(module, datasets.view), lambda done: done(source["run"], seed, source["step"])
    elif source["checkpoint"]:
        made = _of_checkpoint(key, source, datasets)
    elif source["function"]:
        made = _of_function(key, source, datasets, shape)
    else:
        made = _of_weights(key, source, datasets, shape[-1])
    network, load = made
    if source["image_size"]:
        network = dataclasses.replace(network, image_size=source["image_size"])
    if source["cached"] and not datasets.task.of_classes:
        raise UserError(
            f"{key}.cached={source['cached']!r}: only what teachers say of classes can be stored: leave it empty"
        )
    if source["cached"] and datasets.crops:
        raise UserError(
            f"{key}.cached={source['cached']!r}, but with config.view.crop_from='photo' every step sees another part "
            "of an image, whose answers cannot be stored: leave cached empty"
        )
    if source["cached"] and datasets.view.is_random and not datasets.view.replays:
        raise UserError(
            f"{key}.cached={source['cached']!r}, but config.view is random (shift, flip) and draws anew at every step: "
            "set config.view.replays to the number of versions of an image whose answers are to be stored"
        )
    size = (source["image_size"],) * 2 if source["image_size"] else shape[:2]
    images = jax.ShapeDtypeStruct((1, *size, shape[-1] * network.repeat_channels), np.float32)
    shapes = dict(jax.eval_shape(network.module.init, jax.random.key(0), images))
    if not source["weights"]:
        return TeacherSpec(network, shapes, load, source["cached"], source["checkpoint"] or source["function"])
    origin = f"{source['weights']} of {source['file']}" if source["file"] else source["weights"]
    return TeacherSpec(network, shapes, lambda done: _at_size(load(done), shapes), source["cached"], origin)


def _at_size(variables: PyTree, shapes: PyTree) -> PyTree:
    """Foreign variables for another image size than theirs: tables of positions are interpolated."""

    def sized(path, leaf, shape):
        table = None if leaf.shape == shape.shape else resize_table(path_name(path), leaf, shape.shape)
        return leaf if table is None else table

    return jax.tree_util.tree_map_with_path(sized, variables, shapes)


def _of_checkpoint(key: str, source: Mapping[str, Any], datasets: Datasets):
    run = TrainedRun.open(source["checkpoint"], source["step"])
    trained = run.identity
    info = datasets.info
    if trained["num_classes"] != info.num_classes:
        raise UserError(
            f"{key}.checkpoint={source['checkpoint']}: the teacher knows {trained['num_classes']} classes, "
            f"{info.name!r} has {info.num_classes}"
        )
    names = trained.get("class_names")
    if names and tuple(names) != info.class_names:
        raise UserError(
            f"{key}.checkpoint={source['checkpoint']}: the teacher's classes are {', '.join(names[:5])}, …, "
            f"those of {info.name!r} are {', '.join(info.class_names[:5])}, …"
        )
    network = NetworkTeacher(run.model(), datasets.view, scale=_if_other((run.view.mean, run.view.std), datasets.view))
    return network, lambda _: run.effective()


def _of_weights(key: str, source: Mapping[str, Any], datasets: Datasets, channels: int):
    file = f"{source['file']}#{source['part']}" if source["part"] else source["file"]
    options = source["options"]
    loaded = foreign.load_foreign(source["weights"], file or None, options=options)
    scale = tuple(source["mean"]) or loaded.input.mean, tuple(source["std"]) or loaded.input.std
    module = models.create(source["weights"], loaded.num_classes, **options)
    groups = class_groups(f"{key}.classes", source["classes"], datasets.info, loaded.num_classes, loaded.class_names)
    repeat = 3 if channels == 1 else 1
    network = NetworkTeacher(
        module, datasets.view, scale=_if_other(scale, datasets.view), classes=groups, repeat_channels=repeat
    )
    return network, lambda _: loaded.variables


def _of_function(key: str, source: Mapping[str, Any], datasets: Datasets, shape: tuple[int, int, int]):
    height, width = (source["image_size"],) * 2 if source["image_size"] else shape[:2]
    module, variables = own_teacher(key, source["function"], source["file"], (height, width, shape[-1]))
    groups = class_groups(f"{key}.classes", source["classes"], datasets.info, module.num_classes, None)
    scale = _if_other((tuple(source["mean"]), tuple(source["std"])), datasets.view)
    return NetworkTeacher(module, datasets.view, scale=scale, classes=groups), lambda _: variables


def class_groups(
    key: str, classes: Sequence[Any], info: DatasetInfo, num_classes: int, class_names: Sequence[str] | None
) -> tuple[tuple[int, ...], ...] | None:
    """Which of a teacher's classes make up each class of the dataset.

    Args:
      key: of the config, for errors.
      classes: by class of the dataset, the teacher's class or classes, by name or number; empty: the very same.
      info: the dataset's.
      num_classes: the teacher's.
      class_names: the teacher's, where they are known.

    Raises:
      UserError: if a class is unknown, or the same classes are claimed for what differs.
    """
    if not classes:
        if num_classes != info.num_classes:
            raise UserError(
                f"{key} is missing: the teacher knows {num_classes} classes, {info.name!r} has {info.num_classes}; "
                f"say for each of {', '.join(info.class_names[:5])}, … which of the teacher's it is"
            )
        if class_names and tuple(class_names) != info.class_names:
            raise UserError(f"{key} is missing: as many classes, but of other names ({class_names[0]!r}, …)")
        return None
    if len(classes) != info.num_classes:
        raise UserError(f"{key} has {len(classes)} entries, {info.name!r} has {info.num_classes} classes")
    groups = [entry if isinstance(entry, list | tuple) else (entry,) for entry in classes]
    return tuple(tuple(_class_number(key, one, num_classes, class_names) for one in group) for group in groups)


def _class_number(key: str, one: Any, num_classes: int, class_names: Sequence[str] | None) -> int:
    if isinstance(one, str):
        if not class_names or one not in class_names:
            raise UserError(f"{key}: the teacher has no class {one!r}; {_close(one, class_names)}")
        return list(class_names).index(one)
    if not 0 <= one < num_classes:
        raise UserError(f"{key}: {one} is not one of the teacher's classes 0 to {num_classes - 1}")
    return int(one)


def _close(name: str, class_names: Sequence[str] | None) -> str:
    """The nearest names; a thousand of them would not help."""
    if not class_names:
        return "their names are not known, give numbers"
    return nearest(name, class_names) if len(class_names) <= 20 else nearest(name, class_names)[-60:]


def _if_other(scale, view: View):
    """A teacher's scale, or None where it is the student's: then nothing has to be computed."""
    return None if np.allclose(scale[0], view.mean) and np.allclose(scale[1], view.std) else scale
