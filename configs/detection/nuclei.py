"""Nuclei of living cells, found by small detectors: a teacher, a student alone, taught in two ways, and in few bits.

  python -m launch.data --dataset=nuclei --data_dir=data
  python -m launch.train --config=configs/detection/nuclei.py --workdir=runs/nuclei \
      --results=results/detection_nuclei.md

500 pictures of 64×64 pixels, real microscopy, train; what is measured lies elsewhere in the film. The student's
pyramid ends where the teacher's does, at a stride of 4, so that each of its places has a teacher. Chosen on the
validation split, on two seeds: the learning rate, and how long teacher and student train. The student in few bits,
alone and taught, is trained with the rounding that onnxruntime executes for the last two fifths of its steps.
Cost: 40 CPU minutes. Expected: results/detection_nuclei.md. Variant ``tiny``: seconds, no result.
"""

from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.recipe, config.task = "distill", "detection"
    config.title = "Nuclei of living cells, found by small detectors"
    config.data.name, config.data.padded = "nuclei", {"objects": 16}
    config.num_seeds, config.eval_batch_size = 5, 100
    config.view.mean, config.view.std = (0.3,), (0.2,)
    config.view.flip = True

    small = detector(schema.run(label="a detector of 97,000 parameters", steps=300), channels=32)
    teacher = detector(schema.run(label="teacher", steps=600), channels=64, width=2.0)
    student = detector(schema.run(label="student alone", steps=600), channels=8, width=0.5)
    config.runs.update(small=small, teacher=teacher, student=student)
    for name, label, terms in (
        ("distilled", "taught: classes and boxes", {"soft_detection": {"weight": 1.0}, "soft_boxes": {"weight": 1.0}}),
        ("hinted", "taught: a hint", {"hint": {"student_tap": "stage3", "teacher_tap": "stage3", "form": "mean"}}),
    ):
        taught = student.copy_and_resolve_references()
        taught.label = label
        taught.terms.update(terms)
        taught.plans.terms = ((0.0, tuple(taught.terms)),)
        taught.teachers.teacher = schema.teacher_of_run("teacher")
        config.runs[name] = taught
    for bits in ("w8a8", "w4a4"):
        for kind in ("student", "distilled"):
            few = config.runs[kind].copy_and_resolve_references()
            few.label = f"{few.label}, {bits}"
            few.plans.bits = ((0.0, None), (0.6, bits))
            config.runs[f"{kind}_{bits}"] = few
    config.control = "student"
    config.claims = (
        ("taught: classes and boxes: beats the student alone", "distilled", "student"),
        ("taught: a hint: beats the student alone", "hinted", "student"),
        ("in 4 bits, teaching beats the student alone", "distilled_w4a4", "student_w4a4"),
    )
    return tiny(config) if variant == "tiny" else config


def tiny(config):
    """The same in seconds."""
    config.num_seeds = 1
    config.data.train, config.data.validation, config.data.test = "train[:40]", "validation[:20]", "test[:20]"
    for run in config.runs.values():
        run.steps, run.evaluations = 4, 2
    return config


def detector(run, channels: int, width: float = 1.0):
    """A run of a detector with one level, of a stride of 4, on a ResNet-8 that begins with a stride of 2."""
    run.model = {"name": "fcos", "backbone": "resnet8", "stem": "halving", "width": width, "strides": (4,)}
    run.model.update(channels=channels, convs=1)
    run.batch_size, run.evaluations = 16, 3
    run.terms = {"quality_focal": {"weight": 1.0}, "box_giou": {"weight": 2.0}}
    run.plans.terms = ((0.0, ("quality_focal", "box_giou")),)
    run.optimizer.update(name="adamw", learning_rate=8e-3, weight_decay=1e-3, clip_norm=5.0)
    return run
