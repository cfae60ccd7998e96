"""A teacher, a small student alone, and the same student distilled from that teacher, on 5,000 real digits.

  python -m launch.data --dataset=digits --data_dir=data
  python -m launch.train --config=configs/distill/digits.py --workdir=runs/digits

The student has a tenth of the teacher's parameters and a hundredth of its FLOPs. Its width, the temperature and the
weight were chosen on the validation split (configs/distill/digits_search.py, results/distill_digits_search.md).
Cost: under 4 minutes on two CPU cores. Expected: results/distill_digits.md. Variant ``tiny``: seconds, no result.
"""

from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.recipe = "distill"
    config.num_seeds = 4
    config.view.mean, config.view.std = (0.13,), (0.31,)

    teacher = schema.run()
    teacher.label = "teacher: S-CNN"
    teacher.model.update({"name": "scnn"})
    teacher.epochs, teacher.batch_size = 8.0, 50

    student = schema.run()
    student.label = "student alone"
    student.model.update({"name": "mlp", "widths": (128, 128)})
    student.epochs, student.batch_size = 40.0, 50

    distilled = student.copy_and_resolve_references()
    distilled.label = "distilled"
    distilled.terms.update({"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": 4.0}})
    distilled.teachers.teacher = schema.teacher_of_run("teacher", cached="float32")

    early = distilled.copy_and_resolve_references()
    early.label = "distilled, early-stopped"
    # The labels' weight stays ½ without the teacher: Adam does not feel the scale.
    early.plans.terms = ((0.0, ("ce", "soft_target")), (0.5, ("ce",)))

    config.runs.update(teacher=teacher, student=student, distilled=distilled, distilled_early_stop=early)
    if variant == "tiny":
        config.num_seeds = 1
        for run in config.runs.values():
            run.epochs, run.evaluations = 1.0, 2
    return config
