"""The keys that a config may have, with their defaults: the only description of an experiment there is."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ml_collections

from effjax.errors import refuse
from effjax.recipes.schema.active import active, outliers, query, stream
from effjax.recipes.schema.cross import cross_problems
from effjax.recipes.schema.keys import check_variant
from effjax.recipes.schema.order import in_order, needed_by
from effjax.recipes.schema.rules import problems
from effjax.recipes.schema.table import EXPERIMENT

__all__ = [
    "active",
    "check",
    "check_variant",
    "distilled",
    "experiment",
    "in_order",
    "needed_by",
    "outliers",
    "paced",
    "query",
    "run",
    "stream",
    "teacher_of_checkpoint",
    "teacher_of_run",
    "teacher_of_weights",
]


def experiment() -> ml_collections.ConfigDict:
    """An experiment: runs that share data, over several seeds. Fill ``runs`` with :func:`run`."""
    config = ml_collections.ConfigDict()
    config.recipe = "distill"
    config.title = ""  # of the report
    config.control = ""  # the run that others are compared with; empty: the first that has no teacher and is none
    config.reference = (
        ""  # the run that agreement is measured with for runs without a teacher; empty: the first that teaches
    )
    config.table = ()  # the runs to report, in this order; (): all of them
    config.claims = ()  # ((what is claimed, run, run that it is said to beat in test accuracy), …)
    config.judge = "last"  # what claims and plots compare: the end of training, or the best on validation ("best")
    config.seed = 0  # the first seed
    config.num_seeds = 1
    config.seeds_together = False  # whether a run's seeds train in one program; for small networks without teachers
    config.backend = "jit"  # or pmap
    config.data = ml_collections.ConfigDict()
    config.data.name = "digits"
    config.data.dir = "data"
    config.data.train = "train"
    config.data.validation = "validation"
    config.data.test = "test"
    config.data.split = (80, 10, 10)  # shares of these three, into which a folder:/path/CLASS/*.jpg is divided
    config.data.pool = ""  # a folder of images without labels, in the place of train; for the recipe "active"
    config.data.image_size = 0  # 0: as stored
    config.data.classes = ()  # ((name, (classes of the dataset, …)), …) puts classes together; (): as they are
    config.data.also = ml_collections.ConfigDict()  # name -> another dataset, which plans.data may draw from
    config.data.label_noise = 0.0  # the share of training examples that get another class
    config.data.features = ()  # of an example, besides image and label, for terms that look at them
    config.data.on_device_mib = 1024  # a training set up to this size lives on the device
    config.data.num_workers = 0  # reading processes, for what does not
    config.view = ml_collections.ConfigDict()
    config.view.mean = (0.0,)
    config.view.std = (1.0,)
    config.view.shift = 0
    config.view.flip = False
    config.view.crop = 0.0  # the smallest share of an image that a random crop keeps; 0: none
    config.view.operations = 0  # of RandAugment, an image; 0: none
    config.view.magnitude = 9.0  # of these, 0 to 10; plans.magnitude of a run comes before it
    config.view.erasing = 0.0  # the probability that a box is replaced by noise
    config.view.mixup = 0.0  # the concentration of the mixing weight; 0: none
    config.view.cutmix = 0.0
    config.view.replays = 0  # 0: augmented anew at every step; R: each example has R versions
    config.eval_batch_size = 512
    config.teacher_cache = ""  # where teachers' answers are kept; empty: in the workdir
    config.active = active()  # only looked at by the recipe "active"
    config.runs = ml_collections.ConfigDict()
    return config


def run(**given: Any) -> ml_collections.ConfigDict:
    """One run of an experiment: a student, what it minimises, and how long; ``given`` are keys of its own."""
    config = ml_collections.ConfigDict()
    config.label = ""  # the run's name in tables
    config.model = ml_collections.ConfigDict({"name": "mlp"})
    config.init = ""  # what to start from: "shipped" (weights that a package ships), or a .pth or .safetensors file
    config.without_classes = ()  # names of classes that are left out of this run's training set
    config.num_seeds = 0  # 0: as many as the experiment; fewer for a teacher that all seeds of its students share
    config.batch_size = 64
    config.epochs = 10.0
    config.steps = 0  # if given, exactly so many instead of epochs
    config.optimizer = ml_collections.ConfigDict({"name": "adam", "learning_rate": 1e-3})
    config.schedule = ml_collections.ConfigDict({"name": "cosine"})
    config.terms = ml_collections.ConfigDict({"ce": {"weight": 1.0}})
    config.plans = ml_collections.ConfigDict()  # setting -> [[from which share of the run, value], …]
    config.reduction = "frequency"  # how plans.image_size makes images smaller: or resize, or loader
    config.pacing = ml_collections.ConfigDict()  # paced(…), or empty: all examples from the start
    config.query = ml_collections.ConfigDict()  # query(…): how a labelling loop chooses; for the recipe "active"
    config.teachers = ml_collections.ConfigDict()  # name -> teacher_of_run(…), _of_checkpoint(…) or _of_weights(…)
    config.accumulate = 1
    config.ema = 0.0
    config.sync_batch_norm = True
    config.evaluations = 10  # on the validation split, over the run
    config.patience = 0  # the run ends after so many evaluations without a better one; 0: it does not
    config.record = False  # whether it is noted what becomes of each training example
    config.folds = 0  # K: a cross-validation, K networks that leave out a K-th each; for scores of difficulty
    config.checkpoint_every = 0  # steps; 0: with every evaluation
    config.keep = 2
    config.log_every = 0  # steps; 0: ten times between evaluations
    config.steps_per_dispatch = 0  # 0: what the backend and the model run fastest
    for key, value in given.items():
        config[key] = ml_collections.ConfigDict(value) if isinstance(value, Mapping) else value
    return config


def paced(
    kind: str, *, order: str = "curriculum", by: str = "loss", run: str = "", start: float = 0.2, full_at: float = 0.8
) -> ml_collections.ConfigDict:
    """A run that draws from a growing share of the examples.

    Args:
      kind: how it grows, see :func:`effjax.curricula.pacing`.
      order: ``"curriculum"`` (easy first), ``"anti-curriculum"``, or ``"random"``.
      by: what is difficult: ``"loss"``, ``"confidence"``, ``"epoch_learnt"`` or ``"c_score"``, of the run ``run``, the
        mean over its seeds. See :mod:`effjax.recipes.train.difficulty`.
      run: the reference, another run of the experiment; empty in random order.
      start: the share at the start.
      full_at: the progress at which all are in use.
    """
    return ml_collections.ConfigDict(
        {"kind": kind, "order": order, "by": by, "run": run, "start": start, "full_at": full_at}
    )


def distilled(
    student: ml_collections.ConfigDict,
    label: str,
    terms: Mapping[str, Any],
    teacher: ml_collections.ConfigDict,
) -> ml_collections.ConfigDict:
    """The same run with a teacher, named ``teacher``, and other terms; ``student`` stays as it is."""
    config = student.copy_and_resolve_references()
    config.label, config.terms = label, ml_collections.ConfigDict(terms)
    config.teachers.teacher = teacher
    return config


def teacher_of_run(
    name: str, *, cached: str = "", step: str = "last", seeds: Iterable[int] = ()
) -> ml_collections.ConfigDict:
    """A teacher that is another run of the same experiment.

    Args:
      name: that run.
      cached: whether its answers on the training set are computed once and looked up, and how they are kept:
        ``"float32"``, ``"float16"``, ``"top5"`` (the five largest; any number); ``""`` runs the teacher at every step.
      step: ``"last"`` or ``"best"`` (by validation).
      seeds: that run's seeds, for an ensemble; ``()`` is the student's own seed.
    """
    return _source(run=name, cached=cached, step=step, seeds=tuple(seeds))


def teacher_of_checkpoint(folder: str, *, cached: str = "", step: str = "last") -> ml_collections.ConfigDict:
    """A teacher from an earlier run's folder (the one that holds ``checkpoints/``)."""
    return _source(checkpoint=folder, cached=cached, step=step)


def teacher_of_weights(
    model: str,
    *,
    file: str = "",
    classes: Iterable[Any] = (),
    mean: Iterable[float] = (),
    std: Iterable[float] = (),
    image_size: int = 0,
    cached: str = "",
) -> ml_collections.ConfigDict:
    """A teacher that another framework has trained.

    Args:
      model: its architecture.
      file: a .pth or .safetensors file; empty for the weights that a package ships.
      classes: by class of the dataset, the teacher's class or classes that make it up, by name or number; ``()`` where
        the teacher knows the very classes of the dataset.
      mean: subtracted from pixels in [0, 1] before the teacher; ``()`` where it is known with the weights.
      std: divided by.
      image_size: what images are resized to for the teacher; 0 leaves them.
      cached: as for :func:`teacher_of_run`.
    """
    given = {"classes": tuple(classes), "mean": tuple(mean), "std": tuple(std), "image_size": image_size}
    return _source(weights=model, file=file, cached=cached, **given)


def _source(**given: Any) -> ml_collections.ConfigDict:
    keys = {"run": "", "checkpoint": "", "weights": "", "file": "", "step": "last", "seeds": (), "cached": ""}
    return ml_collections.ConfigDict({**keys, "classes": (), "mean": (), "std": (), "image_size": 0, **given})


def check(config: Mapping[str, Any], *more: Callable[[Mapping[str, Any]], Iterable[str]]) -> None:
    """Refuses what a config cannot say: unknown and missing keys, values out of range, names that nothing has.

    Args:
      config: as :func:`experiment` lays it out, plain.
      *more: what else may be wrong with it, a line each; looked at where its keys and values are right by themselves.

    Raises:
      UserError: a line for each mistake, naming the key, the value, and what is allowed.
    """
    refuse(problems(EXPERIMENT, config, "config"))
    refuse([*cross_problems(config), *(line for one in more for line in one(config))])
