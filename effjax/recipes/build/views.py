"""A view from the flags that configs have for it, and what stored answers call it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from effjax.recipes import schema
from effjax.steps import CopyPaste, Crop, CutMix, Erase, Flip, Jitter, MixUp, RandAugment, Shift, ThreeAugment, View


def view_of(flags: Mapping[str, Any]) -> View:
    """The view that flags say, those of a config or of a run's notes; what they leave out is as by default."""
    said = {**schema.experiment().to_dict()["view"], **flags}
    ops = (
        said["flip"] and Flip(),
        said["shift"] and Shift(said["shift"]),
        said["crop"] and said["crop_from"] == "image" and Crop(said["crop"]),
        said["copy_paste"] and CopyPaste(said["copy_paste"]),
        said["three_augment"] and ThreeAugment(),
        said["operations"] and RandAugment(said["operations"], said["magnitude"], said["interpolation"]),
        said["jitter"] and Jitter(said["jitter"]),
        said["erasing"] and Erase(said["erasing"]),
    )
    mix = (said["mixup"] and MixUp(said["mixup"]), said["cutmix"] and CutMix(said["cutmix"]))
    return View(
        mean=tuple(said["mean"]),
        std=tuple(said["std"]),
        ops=tuple(filter(None, ops)),
        mix=tuple(filter(None, mix)),
        replays=said["replays"],
    )


def words_of(view: View) -> str:
    """What stored answers call a view. Those that lie on disks are found by it, so it is what it has always been."""
    found: dict[type, Any] = {type(op): op for op in (*view.ops, *view.mix)}
    augment = found.get(RandAugment, RandAugment(0))
    flags = {
        "mean": view.mean,
        "std": view.std,
        "shift": found.get(Shift, Shift(0)).most,
        "flip": Flip in found,
        "crop": found.get(Crop, Crop(0.0)).least,
        "operations": augment.operations,
        "magnitude": augment.magnitude,
        "erasing": found.get(Erase, Erase(0.0)).probability,
        "mixup": found.get(MixUp, MixUp(0.0)).alpha,
        "cutmix": found.get(CutMix, CutMix(0.0)).alpha,
    }
    later = {"interpolation": augment.interpolation} if augment.interpolation != "bilinear" else {}
    more = {"size": view.size, "reduction": view.reduction}
    if dataclasses.replace(view_of({**flags, **later, "replays": view.replays}), **more) != view:  # no flags say it
        return " ".join([repr(view), *later.values()])
    words = {**flags, **more, "replays": view.replays, **later}
    return f"View({', '.join(f'{name}={value!r}' for name, value in words.items())})"
