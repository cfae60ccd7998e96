"""Detectors of seconds, as config files are: --config=tests/small_detectors.py:trained."""

from effjax.recipes import schema

DATA = "digit_canvases"


def get_config(variant: str):
    config = schema.experiment()
    config.task, config.data.name, config.data.padded = "detection", DATA, {"objects": 6}
    config.data.update(train="train[:48]", validation="validation[:16]", test="test[:16]")
    config.eval_batch_size = 16
    config.view.mean, config.view.std, config.view.flip = (0.2,), (0.25,), True
    {"trained": _trained, "asked": _asked, "kinds": _kinds}[variant](config)
    return config


def _detector(**given):
    run = schema.run(steps=24, batch_size=8, evaluations=3, **given)
    run.model = {"name": "fcos", "backbone": "resnet8", "stem": "halving", "width": 0.25, "strides": (4,)}
    run.model.update(channels=8, convs=1)
    run.terms = {"quality_focal": {}, "box_giou": {}}
    run.plans.terms = ((0.0, ("quality_focal", "box_giou")),)
    run.optimizer = {"name": "sgd", "learning_rate": 1e-3}  # BatchNorm of 8 images magnifies rounding errors
    run.checkpoint_every, run.log_every = 4, 2
    return run


def _trained(config):
    """A teacher, a student that it teaches, and a run with all that may be said beside its terms."""
    config.recipe = "distill"
    soft = {"soft_detection": {}, "soft_boxes": {}}
    teacher = _detector()
    taught = schema.distilled(teacher, "", {**teacher.terms, **soft}, schema.teacher_of_run("teacher"))
    taught.plans.terms = ((0.0, (*teacher.terms, *soft)), (0.5, tuple(teacher.terms)))
    rich = _detector(ema=0.9)
    rich.model.dtype, rich.model.strides = "bfloat16", (4, 8, 16)
    rich.plans.image_size = ((0.0, 32), (0.5, 64))
    rich.terms.quality_focal.assignment = rich.terms.box_giou.assignment = "task_aligned"
    config.runs.update(teacher=teacher, taught=taught, rich=rich)
    config.view.crop = 0.6


def _asked(config):
    """Loops that choose by chance, by what all boxes of an image are doubted, and by what moves with the pixels."""
    config.recipe = "active"
    config.view.crop = 0.6
    config.active.update(initial=6, per_round=6, rounds=3, scoring_batch=16, levels=(0.01,))
    queries = {
        "random": {"selector": "random"},
        "entropy": {"aggregate": "sum", "floor": "calibrated"},
        "cald": {"predictions": "augmentations", "passes": 2, "score": "cald"},
    }
    for name, query in queries.items():
        run = _detector(query=schema.query(**query))
        run.steps, run.evaluations = 24, 1  # so that something is found, which is then doubted
        run.optimizer = {"name": "adamw", "learning_rate": 1e-2}
        config.runs[name] = run


def _kinds(config):
    """A loop of tags, corrections and a teacher; one that draws where chance says."""
    config.recipe = "active"
    config.view.crop, config.view.copy_paste = 0.6, 0.5
    config.active.update(initial=8, seconds=60.0, rounds=3, scoring_batch=16, levels=())
    asked = {"predictions": "teacher", "score": "disagreement", "aggregate": "sum", "kinds": ("tag", "correct")}
    for name, query in {"draw": {"selector": "random", "kinds": ("box",)}, "asked": {**asked, "tags": 6}}.items():
        run = _detector(query=schema.query(**query))
        run.steps, run.evaluations, run.checkpoint_every = 48, 1, 24
        run.optimizer = {"name": "adamw", "learning_rate": 1e-2}
        config.runs[name] = run
