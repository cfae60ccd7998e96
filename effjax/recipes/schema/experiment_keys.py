"""The keys of an experiment: what runs share."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from effjax.data.fast_resize import RESAMPLERS
from effjax.quantization import CALIBRATIONS
from effjax.recipes.schema.fields import key, keys_of, needed, part
from effjax.recipes.schema.loop_keys import Active
from effjax.recipes.schema.rules import (
    BATCH,
    LARGE,
    LONG,
    PIXELS,
    SEEDS,
    Each,
    below_one,
    flag,
    fraction,
    just,
    matching,
    names,
    number,
    one_of,
    several,
    text,
    tuples,
    whole,
)
from effjax.recipes.schema.run_keys import Run

_SOME = text(empty=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Which examples there are."""

    name: str = key(
        "digits",
        _SOME,
        "the dataset: one of ours, `folder:/path`, `csv:/path`, `parquet:/path`, `webdataset:/path`, `hf:/path`, "
        "`coco:/path`, `vqa2:/path`, `gqa:/path`, or of TFDS",
    )
    dir: str = key("data", _SOME, "where it is prepared")
    train: str = key("train", _SOME, "the split that runs are trained on")
    validation: str = key("validation", _SOME, "the split that chooses")
    test: str = key("test", _SOME, "the split that is reported")
    split: Sequence[float] = key(
        (80, 10, 10),
        just(3, number(0, LARGE), "shares of train, validation and test"),
        "shares of these three, into which a `folder:/path/CLASS/*.jpg`, a table or `coco:/path` is divided",
    )
    pool: str = key("", text(), "a folder of images without labels, in the place of `train`; for the recipe `active`")
    image_size: int = key(0, whole(0, PIXELS), "that images are decoded to; 0: as stored")
    crop_pct: float = key(
        1.0,
        number(0, 1, above=True),
        "how much of the middle is decoded where nothing is cut at random; 0.875: the shorter side is resized to "
        "`image_size` / 0.875, and the middle cut out",
    )
    classes: Sequence[Any] = key(
        (),
        tuples((_SOME, names()), "a list of (name, (classes of the dataset, …))"),
        "puts classes together; (): as they are",
    )
    also: Mapping[str, str] = key(
        {}, Each(_SOME), "name → another dataset, or `dataset@split`, which `plans.data` may draw from"
    )
    label_noise: float = key(0.0, below_one(), "the share of training examples that get another class")
    features: Sequence[str] = key((), names(), "of an example, besides image and label, for terms that look at them")
    padded: Mapping[str, int] = key(
        {}, Each(whole(1, LONG)), "feature of differing length, or group of them → how many entries of an example fit"
    )
    on_device_mib: float = key(1024, number(0, LARGE), "a training set up to this size lives on the device")
    num_workers: int = key(0, whole(0, 1024), "reading processes, for what does not")


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """How a network sees an image."""

    mean: Sequence[float] = key(
        (0.0,), several(number(-LARGE, LARGE), "numbers", least=1), "subtracted from pixels in [0, 1], one a channel"
    )
    std: Sequence[float] = key((1.0,), several(number(0, LARGE, above=True), "numbers above 0", least=1), "divided by")
    shift: int = key(0, whole(0, 4096), "at most so many pixels in each direction")
    flip: bool = key(False, flag(), "left and right, half of the time")
    crop: float = key(0.0, fraction(), "the smallest share of an image that a random crop keeps; 0: none")
    crop_from: str = key(
        "image",
        one_of("image", "photo"),
        "what `crop` is cut from: the decoded square, on the device, or the whole photo, as it is decoded (bicubic), "
        "as ImageNet's recipes have it",
    )
    resampler: str = key(
        "pillow",
        one_of(*RESAMPLERS),
        "what resizes the parts that are cut from photos; `simd`: in vector instructions, with other rounding (needs "
        "`effjax[jpeg]`)",
    )
    operations: int = key(0, whole(0, 64), "of RandAugment, an image; 0: none")
    magnitude: float = key(9.0, number(0, 10), "of these; `plans.magnitude` of a run comes before it")
    interpolation: str = key("bilinear", one_of("bilinear", "bicubic"), "of their warps")
    three_augment: bool = key(False, flag(), "whether an image becomes grey, is solarised or blurred: DeiT III's")
    jitter: float = key(
        0.0, fraction(), "x: brightness, contrast and saturation, in random order, by factors from 1 − x to 1 + x"
    )
    erasing: float = key(0.0, fraction(), "the probability that a box is replaced by noise")
    mixup: float = key(0.0, number(0, 1000), "the concentration of the mixing weight; 0: none")
    cutmix: float = key(0.0, number(0, 1000), "the concentration of the box's share; 0: none")
    copy_paste: float = key(
        0.0,
        fraction(),
        "the probability that an object of the image's neighbour in the batch is pasted into it; 0: none",
    )
    replays: int = key(0, whole(0, 2**16), "0: augmented anew at every step; R: each example has R versions")


#: Of a further view: what of the first it changes. Scale, and what is cut out as photos are decoded, are the same.
_FURTHER = dataclasses.replace(
    keys_of(View),
    nodes={
        name: node
        for name, node in keys_of(View).nodes.items()
        if name not in ("mean", "std", "crop_from", "resampler", "replays")
    },
    needs=(),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export:
    """A file that a trained run becomes, one for each of its seeds, and what it is compared with."""

    run: str = needed(_SOME, "which run")
    step: str = key(
        "last", one_of("last", "best"), "the end of training, or the best on validation; both accuracies are shown"
    )
    bits: str = key(
        "", matching(r"|w[2-8]a[2-8]", "bits, `w8a8`, or empty"), "quantised after training; empty: as it was trained"
    )
    calibration: str = key("mse", one_of(*CALIBRATIONS), "how grids are found where it is quantised after training")
    calibrate: int = key(512, whole(1, 10**6), "on how many training images")
    label: str = key("", text(), "the file's name in tables")
    teacher: str = key("", text(), "the export that its answers are compared with; empty: none")
    control: str = key("", text(), "the export that differs in the one thing that is claimed; empty: none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Runs that share data, over several seeds."""

    recipe: str = key(
        "distill", _SOME, "`distill`; `active` for labelling loops; `compress` for files that are measured"
    )
    task: str = key("classification", _SOME, "what is learnt, one of `effjax.tasks`")
    title: str = key("", text(), "of the report")
    control: str = key(
        "", text(), "the run that others are compared with; empty: the first that has no teacher and is none"
    )
    reference: str = key(
        "", text(), "the run that agreement is measured with for runs without a teacher; empty: the first that teaches"
    )
    table: Sequence[str] = key(
        (), names(), "the runs, or of `compress` the exports, to report, in this order; (): all of them"
    )
    claims: Sequence[Sequence[str]] = key(
        (),
        tuples((text(), _SOME, _SOME), "a list of (what is claimed, run, run)"),
        "what is claimed, of which run, which it is said to beat in test accuracy",
    )
    judge: str = key(
        "last", one_of("last", "best"), "what claims and plots compare: the end of training, or the best on validation"
    )
    seed: int = key(0, whole(0, SEEDS - 1), "the first seed")
    num_seeds: int = key(1, whole(1, 10_000), "how many")
    seeds_together: bool = key(
        False, flag(), "whether a run's seeds train in one program; for small networks without teachers of their own"
    )
    backend: str = key("jit", one_of("jit", "pmap"), "how the program is cut over devices")
    data: Data = part(Data, "the examples")
    view: View = part(View, "how they are seen")
    views: Mapping[str, Mapping[str, Any]] = key(
        {},
        Each(_FURTHER),
        "name → keys of `view` that differ where training sees the same examples once more, for terms that name it",
    )
    eval_batch_size: int = key(512, whole(1, BATCH), "examples an evaluation step, over all devices")
    teacher_cache: str = key("", text(), "where teachers' answers are kept; empty: in the workdir")
    active: Active = part(Active, "only looked at by the recipe `active`")
    runs: Mapping[str, Run] = key({}, Each(keys_of(Run)), "name → a run, which `schema.run` makes")
    exports: Mapping[str, Export] = key(
        {}, Each(keys_of(Export)), "name → a file that is measured; for the recipe `compress`"
    )
