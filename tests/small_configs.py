"""Configs of seconds for tests, as config files are: --config=tests/small_configs.py:kill."""

import ml_collections

from effjax.curricula import efficienttrain
from effjax.recipes import schema


def _small(model: dict, steps: int = 8) -> ml_collections.ConfigDict:
    run = schema.run()
    run.model.update(model)
    run.batch_size, run.steps, run.evaluations = 16, steps, 2
    run.optimizer.learning_rate = 1e-2
    return run


def _distilled(student, *, cached: str):
    run = student.copy_and_resolve_references()
    run.terms.update({"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": 4.0}})
    run.teachers.teacher = schema.teacher_of_run("teacher", cached=cached)
    return run


def _experiment(**runs):
    config = schema.experiment()
    config.eval_batch_size = 100
    config.runs.update(runs)
    return config


def _few(config):
    """With a few examples of each split."""
    config.data.update(train="train[:200]", validation="validation[:100]", test="test[:100]")
    return config


def get_config(variant: str = "plain"):
    return VARIANTS[variant]()


def plain():
    """A student, and a teacher that answers beside its distilled twin."""
    teacher, student = _small({"name": "scnn", "width": 0.125}), _small({"name": "mlp", "widths": (16,)})
    return _experiment(teacher=teacher, student=student, distilled=_distilled(student, cached=""))


def devices():
    """What must not depend on how the batch lies on devices: BatchNorm over the axis, dropout, augmentation."""
    teacher = _small({"name": "resnet8", "width": 0.25})
    student = _small({"name": "mlp", "widths": (16,), "dropout": 0.2})
    config = _experiment(teacher=teacher, student=student, distilled=_distilled(student, cached=""))
    config.view.shift = 2
    for run in config.runs.values():
        run.optimizer = {"name": "sgd", "learning_rate": 1e-2}
        run.steps_per_dispatch = 1  # compiles faster
    config.runs.teacher.optimizer.learning_rate = 1e-3  # BatchNorm of 16 images magnifies rounding errors
    return _few(config)


def photos():
    """Random parts cut out where photos are decoded, by two processes, each example twice a step."""
    student = _small({"name": "mlp", "widths": (16,)})
    student.repeats, student.steps_per_dispatch = 2, 1
    config = _few(_experiment(student=student))
    config.data.image_size, config.data.num_workers = 28, 1
    config.view.update(crop=0.3, crop_from="photo", jitter=0.4)
    return config


def kill():
    """Two stages, dropout, a moving average, more evaluations than log lines: all that a resumed run must get right."""
    config = plain()
    for run in config.runs.values():
        run.steps, run.evaluations, run.checkpoint_every, run.log_every = 240, 6, 20, 7
        run.ema, run.steps_per_dispatch = 0.9, 4
    config.runs.distilled.plans.terms = ((0.0, ("ce", "soft_target")), (0.5, ("ce",)))
    config.runs.distilled.plans.trainable = ((0.0, "up to penultimate"), (0.5, ".*"))  # the optimiser starts afresh
    config.runs.distilled.pacing, config.runs.distilled.record = schema.paced("linear", run="teacher"), True
    return _few(config)


def pruned():
    """A ramp over the middle of a run, whose trained part changes in it; and weights that are exchanged."""
    ramp = _small({"name": "mlp", "widths": (16,)}, steps=240)
    ramp.evaluations, ramp.checkpoint_every, ramp.log_every, ramp.ema, ramp.steps_per_dispatch = 6, 20, 7, 0.9, 4
    ramp.pruning.every = 4
    rigl = ramp.copy_and_resolve_references()
    ramp.plans.sparsity = ((0.0, 0.0), (0.25, "cubic 0.9"), (0.75, 0.9))
    ramp.plans.trainable = ((0.0, "up to penultimate"), (0.5, ".*"))
    rigl.plans.sparsity, rigl.pruning.renewal, rigl.pruning.scope = ((0.0, 0.9),), "rigl", "erk"
    return _few(_experiment(ramp=ramp, rigl=rigl))


def two_views():
    """A student of a live teacher, on a weak and a strong view of each image, of which a stage leaves one out."""
    config = plain()
    teacher, taught = config.runs.student, config.runs.distilled
    config.view.shift, config.views.strong = 1, {"operations": 1, "magnitude": 9.0, "erasing": 0.5}
    taught.teachers.teacher.cached = ""
    taught.terms.strong = {"kind": "soft_target", "view": "strong", "weight": 0.5}
    taught.plans.terms = ((0.0, ("ce", "strong")), (0.5, ("ce", "soft_target", "strong")))
    for run in (teacher, taught):
        run.steps, run.evaluations, run.checkpoint_every, run.log_every, run.steps_per_dispatch = 240, 6, 20, 7, 4
    teacher.steps = 8
    config.runs = {"teacher": teacher, "taught": taught}
    taught.teachers.teacher.run = "teacher"
    return _few(config)


def onednn():
    """A student of a live teacher and of its activations, with oneDNN's convolutions, several steps a dispatch."""
    teacher, student = _small({"name": "resnet8", "width": 0.25}), _small({"name": "scnn", "width": 0.125}, steps=240)
    taught = _distilled(student, cached="")
    taught.terms.hint = {"student_tap": "conv2", "teacher_tap": "stage2/block1", "weight": 0.1}
    taught.evaluations, taught.checkpoint_every, taught.log_every, taught.steps_per_dispatch = 6, 20, 7, 4
    config = _few(_experiment(teacher=teacher, taught=taught))
    for run in config.runs.values():
        run.convolutions = "onednn"
    return config


def remembering():
    """A student whose term remembers the examples."""
    config = plain()
    taught = config.runs.distilled
    taught.terms = {"ce": {"weight": 1.0}, "crd": {"weight": 0.5, "dim": 8, "negatives": 16}}
    for run in config.runs.values():
        run.steps, run.evaluations, run.checkpoint_every, run.log_every, run.steps_per_dispatch = 240, 6, 20, 7, 4
    config.runs = {"teacher": config.runs.teacher, "taught": taught}
    config.runs.teacher.steps = 8
    return _few(config)


def choosing():
    """Runs that remember losses: examples are dropped by their own, and count for what a running mean says."""
    config = plain()
    run = config.runs.student
    run.selection, run.weighting = schema.selection("infobatch"), schema.weighting("super_loss")
    run.plans.candidates = ((0.0, 1.5), (0.75, 1))
    run.steps, run.evaluations, run.checkpoint_every, run.log_every, run.steps_per_dispatch = 240, 6, 20, 7, 4
    config.runs = {"chosen": run}
    return _few(config)


def early_best():
    """A step so long that nothing is learnt: what does best on validation does so early."""
    student = _small({"name": "mlp", "widths": (16,)}, steps=400)
    student.evaluations, student.optimizer.learning_rate = 20, 0.3
    return _experiment(student=student)


def curriculum():
    """EfficientTrain, early-stopped distillation and pacing merged, of a network whose parameters follow the size."""
    teacher = _small({"name": "mlp", "widths": (16,)})
    student = _small({"name": "vit", "patch": 4, "dim": 12, "blocks": 1}, steps=20)
    config = _experiment(teacher=teacher, student=_distilled(student, cached=""))
    config.view.operations, config.view.flip = 1, True
    run = config.runs.student
    run.plans.image_size = ((0.0, 20), (0.8, 28))
    run.plans.magnitude = efficienttrain(28)[1].pieces
    run.plans.terms = ((0.0, ("ce", "soft_target")), (0.4, ("ce",)))
    run.pacing = schema.paced("linear", run="teacher")
    run.evaluations, run.checkpoint_every, run.log_every, run.ema, run.keep, run.record = 10, 2, 3, 0.9, 20, True
    run.steps_per_dispatch = 2
    return config


def active():
    """Labelling loops of an ensemble, and of dropout with outliers left out."""
    ensemble = _small({"name": "mlp", "widths": (16,)})
    ensemble.query = schema.query(predictions="ensemble", members=2, score="bald")
    dropout = _small({"name": "mlp", "widths": (16,), "dropout": 0.2})
    left_out = schema.outliers(((0.0, 0.2),))
    dropout.query = schema.query(predictions="dropout", passes=3, selector="k_center_greedy", outliers=left_out)
    dropout.record = True
    config = _experiment(ensemble=ensemble, dropout=dropout)
    config.recipe, config.data.train, config.view.shift = "active", "train[:200]", 1
    config.active.update(initial=20, per_round=10, rounds=3, scoring_batch=40)
    for run in config.runs.values():
        run.optimizer = {"name": "sgd", "learning_rate": 1e-2}
    return config


def questions():
    """A loop that asks questions: dropout, outliers guessed, an annotator who says where there is no answer."""
    run = _small({"name": "vqa_attention", "dim": 8, "hidden": 8, "widths": (8,)})
    left_out = schema.outliers(((0.0, 0.2),))
    asks = {"predictions": "dropout", "passes": 3, "outliers": left_out}
    run.query = schema.query(**asks, annotator="answered", discount="cannot be answered")
    run.record, run.optimizer = True, {"name": "sgd", "learning_rate": 1e-2}
    config = _experiment(asks=run)
    config.recipe, config.task, config.data.name = "active", "answering", "digit_questions/unlearnable_30"
    config.active.update(initial=20, per_round=10, rounds=3, scoring_batch=40)
    return _few(config)


def faults():
    """A chain that leaves every kind of file: stored answers, stages, easy examples first, records, an average."""
    teacher, student = (_small({"name": "mlp", "widths": (8,)}, steps=12) for _ in range(2))
    student = _distilled(student, cached="float32")
    student.plans.terms = ((0.0, ("ce", "soft_target")), (0.5, ("ce",)))
    student.plans.trainable = ((0.0, "up to penultimate"), (0.5, ".*"))
    student.pacing, student.record, student.ema = schema.paced("linear", run="teacher"), True, 0.9
    for run in (teacher, student):
        run.evaluations, run.log_every, run.keep, run.steps_per_dispatch = 3, 2, 1, 2
    return _few(_experiment(teacher=teacher, student=student))


def faults_together():
    """Two seeds in one program."""
    run = _small({"name": "mlp", "widths": (8,)}, steps=12)
    run.evaluations, run.log_every = 3, 2
    config = _few(_experiment(student=run))
    config.seeds_together, config.num_seeds = True, 2
    return config


def faults_active():
    """Loops of two rounds: an ensemble, and the control."""
    run = _small({"name": "mlp", "widths": (8,)}, steps=4)
    run.evaluations = 1
    control = run.copy_and_resolve_references()
    run.query = schema.query(predictions="ensemble", members=2, score="bald")
    control.query = schema.query(selector="random")
    config = _few(_experiment(ensemble=run, random=control))
    config.recipe = "active"
    config.active.update(initial=20, per_round=10, rounds=2, scoring_batch=100)
    return config


def compress():
    """Files of a teacher that all seeds share, of a student in floats and in few bits after training, and of a run
    that learns few bits from the teacher."""
    teacher, student = _small({"name": "mlp", "widths": (16,)}, 24), _small({"name": "mlp", "widths": (8,)}, 24)
    teacher.num_seeds = 1
    few = schema.distilled(
        student, "", {"soft_target": {"weight": 1.0}}, schema.teacher_of_run("teacher", cached="float32", seeds=(0,))
    )
    few.plans.bits = ((0.0, None), (0.5, "w4a4"))
    config = _few(_experiment(teacher=teacher, student=student, few=few))
    config.recipe, config.num_seeds = "compress", 2
    config.exports.teacher = schema.export("teacher")
    config.exports.student = schema.export("student", step="best", teacher="teacher", label="the student")
    config.exports.after = schema.export("student", bits="w8a8", calibrate=64, control="student", teacher="teacher")
    config.exports.trained = schema.export("few", control="after", teacher="teacher")
    config.table = ("teacher", "student", "after", "trained")
    return config


def faults_compress():
    """A student that learns few bits from a teacher, and both as files, one of them quantised after training."""
    teacher, student = (_small({"name": "mlp", "widths": (8,)}, steps=4) for _ in range(2))
    few = schema.distilled(
        student, "", {"soft_target": {"weight": 1.0}}, schema.teacher_of_run("teacher", cached="float32")
    )
    few.plans.bits = ((0.0, None), (0.5, "w4a4"))
    for run in (teacher, few):
        run.evaluations = 1
    config = _few(_experiment(teacher=teacher, few=few))
    config.recipe = "compress"
    config.exports.after = schema.export("teacher", bits="w8a8", calibrate=64)
    config.exports.trained = schema.export("few", control="after", teacher="after")
    return config


VARIANTS = {
    "plain": plain,
    "devices": devices,
    "photos": photos,
    "kill": kill,
    "pruned": pruned,
    "two_views": two_views,
    "onednn": onednn,
    "remembering": remembering,
    "choosing": choosing,
    "early_best": early_best,
    "curriculum": curriculum,
    "active": active,
    "questions": questions,
    "compress": compress,
    "faults": faults,
    "faults_together": faults_together,
    "faults_active": faults_active,
    "faults_compress": faults_compress,
}
