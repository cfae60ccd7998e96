"""FitNets: hints for a student that is deeper and far thinner than its teacher.

  python -m launch.train --config=configs/distill/fitnets.py --workdir=runs/fitnets --results=results/distill_fitnets.md

On 5,000 real digits. The teacher is a ResNet-8; the student a ResNet-20 of a quarter of its width. FitNets as published
has two stages: up to the guided layer by the hint alone, then the whole by soft targets. Beside it: the hint added to
soft targets all the way (what is often called FitNets), soft targets alone, the student alone; all of one length.
Cost: about 30 minutes on two CPU cores. Expected: results/distill_fitnets.md. Variant ``tiny``: no result.
"""

from effjax.recipes import schema

GUIDED = "stage2"
KD = {"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": 4.0}}
HINT = {"student_tap": GUIDED, "teacher_tap": GUIDED}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.title = "Hints for a thin deep student, on digits"
    config.num_seeds = 1 if variant else 5
    config.view.mean, config.view.std = (0.13,), (0.31,)

    teacher = schema.run(label="teacher: ResNet-8", model={"name": "resnet8"}, epochs=12.0, batch_size=100)
    teacher.optimizer.learning_rate = 3e-3
    student = teacher.copy_and_resolve_references()
    student.label = "student alone: ResNet-20 × ¼"
    student.model = {"name": "resnet20", "width": 0.25}
    taught = schema.teacher_of_run("teacher")
    kd = schema.distilled(student, "soft targets", KD, taught)
    fitnets = schema.distilled(student, "FitNets: hint, then soft targets", {**KD, "hint": HINT}, taught)
    fitnets.plans.terms = ((0.0, ("hint",)), (0.25, ("ce", "soft_target")))
    fitnets.plans.trainable = ((0.0, f"up to {GUIDED}"), (0.25, ".*"))
    beside = {**KD, "hint": {**HINT, "weight": 0.01}}
    joint = schema.distilled(student, "soft targets and the hint together", beside, taught)
    config.runs.update(teacher=teacher, student=student, kd=kd, fitnets=fitnets, joint=joint)
    config.table = ("teacher", "student", "kd", "fitnets", "joint")
    config.claims = (
        ("Soft targets help", "kd", "student"),
        ("Hints, then soft targets, help more", "fitnets", "kd"),
        ("Two stages beat one", "fitnets", "joint"),
    )
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations = 1.0, 2
    return config
