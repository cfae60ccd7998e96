"""Hinton's experiment on 5,000 real digits: which temperature, and what of a digit that the student has never seen.

  python -m launch.train --config=configs/distill/hinton.py --workdir=runs/hinton --results=results/distill_hinton.md

The student of configs/distill/digits.py, alone and distilled at T = 1, 2, 4, 8, 20, half of the weight on the labels;
and twice trained without any image of a 3: alone (the control), and on the teacher's answers only, as in the paper.
Cost: about 10 minutes on two CPU cores. Expected: results/distill_hinton.md. Variant ``tiny``: seconds, no result.
"""

from configs.distill import digits
from effjax.recipes import schema

TEMPERATURES = (1, 2, 4, 8, 20)


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = digits.get_config(variant)
    config.title = "Hinton's temperatures, and the digit that was never seen"
    config.num_seeds = 1 if variant else 5
    teacher, student, distilled = (config.runs[name] for name in ("teacher", "student", "distilled"))
    runs = {"teacher": teacher, "student": student}
    for temperature in TEMPERATURES:
        run = runs[f"distilled_T{temperature}"] = distilled.copy_and_resolve_references()
        run.label = f"distilled, T = {temperature}"
        run.terms.soft_target.temperature = float(temperature)
    alone = runs["without_3"] = student.copy_and_resolve_references()
    alone.label, alone.without_classes = "alone, without 3s", ("3",)
    taught = runs["without_3_distilled"] = distilled.copy_and_resolve_references()
    taught.label, taught.without_classes = "distilled, without 3s", ("3",)
    taught.terms = {"soft_target": {"weight": 1.0, "temperature": 4.0}}
    config.runs = runs
    config.table = tuple(runs)
    config.claims = (
        ("Soft targets help (T = 4)", "distilled_T4", "student"),
        ("A temperature of 4 beats 1", "distilled_T4", "distilled_T1"),
        ("A temperature of 4 beats 20", "distilled_T4", "distilled_T20"),
        ("Dark knowledge tells of a digit never seen", "without_3_distilled", "without_3"),
    )
    return config
