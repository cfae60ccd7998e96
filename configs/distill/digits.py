"""A teacher, a small student alone, and the same student distilled from that teacher, on 5,000 real digits."""

from effjax.recipes import config as schema


def get_config(variant: str = ""):
    config = schema.experiment()
    config.recipe = "distill"
    config.num_seeds = 3
    config.view.mean, config.view.std = (0.13,), (0.31,)

    teacher = schema.run()
    teacher.model.update({"name": "scnn"})
    teacher.epochs, teacher.batch_size = 8.0, 50

    student = schema.run()
    student.model.update({"name": "mlp", "widths": (32, 32)})
    student.epochs, student.batch_size = 40.0, 50

    distilled = student.copy_and_resolve_references()
    distilled.terms.update({"ce": {"weight": 0.1}, "soft_target": {"weight": 0.9, "temperature": 4.0}})
    distilled.teachers.teacher = schema.teacher_of_run("teacher", cached=True)

    early = distilled.copy_and_resolve_references()
    early.plans.terms = ((0.0, ("ce", "soft_target")), (0.5, ("ce",)))

    config.runs.update(teacher=teacher, student=student, distilled=distilled, distilled_early_stop=early)
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations = 1.0, 2
    return config
