"""The datasets of an experiment, opened once."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from effjax.data import fast_resize
from effjax.data.base import DatasetInfo, Source, Subset, stored
from effjax.data.cached import cached
from effjax.data.coreset import Coreset
from effjax.data.feeds import ResidentFeed, StreamFeed
from effjax.data.grouping import group_classes
from effjax.data.noise import noisy_labels
from effjax.data.paced import Pace
from effjax.data.photo_crops import PhotoCrops
from effjax.data.resident import nbytes
from effjax.data.sources import dataset_and_split, load
from effjax.data.tables import Lookup
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import UserError, check_known
from effjax.images.targets import KINDS, Boxes
from effjax.recipes.build.data_checks import check_data
from effjax.recipes.build.folders import shares_of
from effjax.recipes.build.views import view_of
from effjax.steps import Together, View
from effjax.tasks import CLASSIFICATION, Task, find_task


@dataclasses.dataclass(frozen=True)
class Datasets:
    """An experiment's sources by role, what is learnt of them, and how a network sees their images."""

    train: Source
    validation: Source
    test: Source
    view: View
    on_device: bool
    on_device_mib: float
    num_workers: int
    task: Task = CLASSIFICATION
    features: tuple[str, ...] = ()
    also: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    crops: PhotoCrops | None = None
    views: Mapping[str, View] = dataclasses.field(default_factory=dict)
    # Parts of the training set, and what was read of each: runs share them.
    _without: dict[tuple[str, ...], Source] = dataclasses.field(default_factory=dict)
    _read: dict[int, Mapping[str, np.ndarray]] = dataclasses.field(default_factory=dict)

    @property
    def info(self) -> DatasetInfo:
        return self.train.info

    def train_without(self, classes: Sequence[str], key: str) -> Source:
        """The training set but for the examples of some classes.

        Raises:
          UserError: naming a class that there is not.
        """
        if not classes:
            return self.train
        if (classes := tuple(classes)) in self._without:
            return self._without[classes]
        names = self.info.class_names
        for name in classes:
            check_known(name, names, f"{key}.without_classes: no class {name!r}")
        kept = ~np.isin(self.train.column("label"), [names.index(name) for name in classes])
        self._without[classes] = Subset(self.train, self.train.ids()[kept])
        return self._without[classes]

    def feed(
        self,
        batch_size: int,
        train: Source,
        *,
        resize: bool = False,
        pace: Pace | None = None,
        coreset: Coreset | None = None,
        members: Together | None = None,
        lookups: Sequence[Lookup] = (),
        repeats: int = 1,
    ) -> ResidentFeed | StreamFeed:
        """Training batches of this process, from the device or through the host; see :class:`effjax.data.feeds.Feed`.

        With lookups, and with photos of which each step cuts a part out, they come through the host, however small
        the set is.

        Raises:
          UserError: if images are to be decoded at several sizes and the set lives on the device; if networks that
            train together are to see parts of photos.
        """
        common: dict[str, Any] = {"process_index": jax.process_index(), "process_count": jax.process_count()}
        common["features"] = (*self.task.features, *self.features)
        common.update(pace=pace, coreset=coreset, members=members, repeats=repeats)
        sources = {"train": train, **self.also}
        if self.crops and members:
            raise UserError(
                "config.view.crop_from='photo': networks that train together draw from a set on the device: use 'image'"
            )
        if lookups or self.crops or not self.on_device:
            streamed = {"num_workers": self.num_workers, "resize": resize, "lookups": tuple(lookups)}
            streamed["crops"] = self.crops
            return StreamFeed(sources, batch_size, **common, **streamed)
        if resize:
            raise UserError(
                "reduction='loader' decodes images anew for each size, but this set is small and kept on the device "
                "whole: use reduction='resize', or set config.data.on_device_mib=0"
            )
        feed = ResidentFeed(sources, batch_size, **common, arrays=self._read.get(id(train)))
        self._read[id(train)] = feed.resident
        return feed


def open_datasets(config: Mapping[str, Any]) -> Datasets:
    """Opens what ``config.data`` names.

    Raises:
      UserError: if a set is unknown or unprepared, or the view does not fit its channels.
    """
    settings, task = config["data"], find_task(config["task"])
    common = {"image_size": settings["image_size"] or None, "shares": shares_of(settings), "padded": settings["padded"]}
    common["crop_pct"] = settings["crop_pct"]
    splits = {
        role: load(settings["name"], settings[role], settings["dir"], **common)
        for role in ("train", "validation", "test")
        if not (role == "train" and settings["pool"])
    }
    apart = {name: dataset_and_split(other, settings["train"]) for name, other in settings["also"].items()}
    also = {name: load(other, split, settings["dir"], **common) for name, (other, split) in apart.items()}
    if settings["classes"]:
        also = {name: group_classes(source, settings["classes"]) for name, source in also.items()}
        splits = {role: group_classes(source, settings["classes"]) for role, source in splits.items()}
    if settings["pool"]:
        splits["train"] = _unlabelled(settings, splits["validation"].info, task)
    check_data(splits, settings, task)
    if settings["label_noise"]:
        splits["train"] = noisy_labels(splits["train"], settings["label_noise"])
    view = dataclasses.replace(view_of(config["view"]), moves=task.moves)
    if config["view"]["copy_paste"] and not any(isinstance(kind, Boxes) for kind in task.moves.values()):
        raise UserError(f"config.view.copy_paste: the task {task.name!r} has no boxes of objects that could be pasted")
    shape = splits["train"].info.image_shape
    for name in ("mean", "std"):
        channels = len(getattr(view, name))
        if shape is not None and channels not in (1, shape[-1]):
            raise UserError(f"config.view.{name} has {channels} values; the images have {shape[-1]} channels")
    arrays = (name for name, spec in task.targets.items() if spec.shape)
    features = (*task.inputs, *arrays, *settings["features"])
    size = sum(nbytes(source, features) for source in (splits["train"], *also.values()))
    most = settings["on_device_mib"] * 2**20
    on_device = math.isfinite(size) and size <= most
    return Datasets(
        train=splits["train"],
        # Every evaluation in the loop, and of each finished run twice, looks at all of them again.
        validation=cached(splits["validation"], most),
        test=cached(splits["test"], most),
        view=view,
        views={
            name: dataclasses.replace(view_of({**config["view"], "replays": 0, **further}), moves=task.moves)
            for name, further in config["views"].items()
        },
        on_device=on_device,
        on_device_mib=settings["on_device_mib"],
        num_workers=settings["num_workers"],
        task=task,
        features=tuple(settings["features"]),
        also=also,
        crops=_crops(config["view"], (splits["train"], *also.values()), task),
    )


def _crops(view: Mapping[str, Any], sources: Sequence[Source], task: Task) -> PhotoCrops | None:
    """What training sees of each photo, where parts are cut out as it is decoded.

    Raises:
      UserError: if it cannot be cut, or targets would not follow.
    """
    if view["crop_from"] != "photo":
        return None
    kinds = {name: KINDS[kind] if isinstance(kind, str) else kind for name, kind in task.moves.items()}
    least = [kind.least for kind in kinds.values() if isinstance(kind, Boxes)]
    fast_resize.check_resampler(view["resampler"])
    crops = PhotoCrops(view["crop"], resampler=view["resampler"])
    if least:
        crops = dataclasses.replace(crops, box_least=max(least))
    for source in sources:
        followed = getattr(stored(source), "box_names", ())
        for name, kind in kinds.items():
            if not isinstance(kind, Boxes) or name not in followed:
                raise UserError(
                    f"config.view.crop_from='photo': {name!r} of the task {task.name!r} would not follow in "
                    f"{source.info.name!r}; use 'image'"
                )
        source.cut(0, crops)
    return crops


def _unlabelled(settings: Mapping[str, Any], labelled: DatasetInfo, task: Task) -> UnlabelledFolder:
    """The images of ``config.data.pool``, as the labelled ones are.

    Raises:
      UserError: if there are none, or what is known of the labels cannot hold of them.
    """
    if settings["label_noise"]:
        raise UserError(f"config.data.label_noise={settings['label_noise']}: config.data.pool has no labels")
    if labelled.image_shape is None or labelled.image_shape[0] != labelled.image_shape[1]:
        raise UserError("config.data.image_size=0: say to which size the images of config.data.pool are decoded")
    size, _, channels = labelled.image_shape
    known = {name: labelled.features[name] for name in task.targets if name in labelled.features}
    targets = {name: spec for name, spec in known.items() if not spec.is_ragged}  # else it is said of validation
    return UnlabelledFolder(
        settings["pool"],
        image_size=size,
        channels=channels,
        class_names=labelled.class_names,
        targets=targets,
        crop_pct=settings["crop_pct"],
    )


def read_of(source: Any, names: Sequence[str]) -> list[jax.ShapeDtypeStruct]:
    """Shapes and types of what networks read of an example, ``[1, ...]`` each.

    Args:
      source: of examples as they are stored.
      names: of the features, in order; images are read as floats.
    """
    example = source[0]
    arrays = {name: np.asarray(example[name]) for name in names}
    kinds = {name: np.dtype(np.float32) if name == "image" else array.dtype for name, array in arrays.items()}
    return [jax.ShapeDtypeStruct((1, *arrays[name].shape), kinds[name]) for name in names]
