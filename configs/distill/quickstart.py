"""What distillation does, in minutes: ten seeds of a small student, and a digit that the student has never seen.

  python -m launch.data --dataset=digits --data_dir=data
  python -m launch.train --config=configs/distill/quickstart.py --workdir=runs/quickstart \
      --results=results/quickstart.md

The teacher and the student of configs/distill/digits.py, as they are there. All seeds of a student train in one
program; all learn from one teacher, whose answers are stored. *Without 3s*: no image of a 3 is in the student's
training set, and on the taught one's the teacher's answers are all it is told (Hinton et al. 2015, section 3). This
effect is so large that four seeds show it. Cost: a minute and a half on two CPU cores. Expected:
results/quickstart.md. Variant ``tiny``: seconds, no result.

Source: Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531
"""

from configs.distill import digits
from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = digits.get_config(variant)
    config.title = "A small student, a teacher, and a digit that the student has never seen"
    config.num_seeds, config.seeds_together = 2 if variant else 10, True
    teacher, student, distilled = (config.runs[name] for name in ("teacher", "student", "distilled"))
    teacher.num_seeds = 1
    distilled.teachers.teacher = schema.teacher_of_run("teacher", cached="float32", seeds=(0,))
    alone, taught = (run.copy_and_resolve_references() for run in (student, distilled))
    alone.label, alone.without_classes = "student alone, without 3s", ("3",)
    taught.label, taught.without_classes = "distilled, without 3s", ("3",)
    taught.terms = {"soft_target": {"weight": 1.0, "temperature": 4.0}}
    alone.num_seeds = taught.num_seeds = 2 if variant else 4
    runs = {"teacher": teacher, "student": student, "distilled": distilled}
    runs |= {"without_3": alone, "without_3_distilled": taught}
    config.runs = runs
    config.table = tuple(runs)
    config.claims = (
        ("The student gains from its teacher", "distilled", "student"),
        ("It learns of a digit that it has never seen", "without_3_distilled", "without_3"),
    )
    return config
