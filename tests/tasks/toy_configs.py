"""Configs of the toy task, as a user writes them: --config=tests/tasks/toy_configs.py:trained."""

from effjax.recipes import schema
from tests.tasks import toy_task  # noqa: F401  (registers the task)


def get_config(variant: str):
    config = schema.experiment()
    config.task, config.data.name, config.eval_batch_size = "where", "canvases", 32
    student = schema.run(model={"name": "mlp", "widths": (16,)}, terms={"box": {"weight": 1.0}}, batch_size=16)
    student.steps, student.evaluations, student.optimizer.learning_rate = 24, 3, 1e-2
    config.view.shift = 2
    config.runs.teacher = student
    if variant == "trained":
        config.runs.taught = schema.distilled(
            student, "", {"box": {"weight": 0.5}, "box_hint": {"weight": 0.5}}, schema.teacher_of_run("teacher")
        )
        config.runs.taught.plans.terms = ((0.0, ("box", "box_hint")), (0.5, ("box",)))
    elif variant == "asked":
        config.recipe, config.active.oracle = "active", "folder"
        config.active.initial = config.active.per_round = 4
        config.active.rounds, config.active.levels = 2, (0.3,)
        config.active.budget = 60.0
        student.query = schema.query(predictions="ensemble", members=2, score="entropy")
    return config
