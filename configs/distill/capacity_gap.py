"""Does a bigger teacher teach a small student worse, and what helps: early stopping, of either, or an assistant?

  python -m launch.train --config=configs/distill/capacity_gap.py --workdir=runs/capacity_gap \
      --results=results/distill_capacity_gap.md

On 5,000 real digits. Three teachers of growing size and accuracy teach one small student: at all its steps (KD), in the
first half of them (ESKD), as a teacher of a schedule four times as short (early-stopped teacher), and through an
assistant between the two. T = 4 and the weights are those of configs/distill/digits.py.
Cost: about 20 minutes on two CPU cores. Expected: results/distill_capacity_gap.md. Variant ``tiny``: no result.
"""

from effjax.recipes import schema

TEACHERS = {  # name -> label, model, epochs
    "small": ("MLP 128-128", {"name": "mlp", "widths": (128, 128)}, 40.0),
    "middle": ("S-CNN × ¼", {"name": "scnn", "width": 0.25}, 16.0),
    "large": ("S-CNN", {"name": "scnn"}, 16.0),
}
STUDENT, STUDENT_LABEL = {"name": "mlp", "widths": (32, 32)}, "MLP 32-32"
ASSISTANT, ASSISTANT_LABEL = {"name": "mlp", "widths": (64, 64)}, "MLP 64-64"
STUDENT_EPOCHS = 40.0
BATCH_SIZE = 50


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.title = "Bigger teachers of a small student, on digits"
    config.num_seeds = 1 if variant else 5
    config.view.mean, config.view.std = (0.13,), (0.31,)
    config.runs.update(gap_runs(TEACHERS, STUDENT, ASSISTANT, STUDENT_EPOCHS, BATCH_SIZE))
    config.runs.student.label = f"{STUDENT_LABEL} alone"
    config.table, config.claims = tuple(gap_runs(TEACHERS, STUDENT, ASSISTANT, STUDENT_EPOCHS, BATCH_SIZE)), claims()
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations = 1.0, 2
    return config


def gap_runs(teachers, student, assistant, epochs: float, batch_size: int):
    """The runs of the comparison, by name."""
    runs = {"student": schema.run(label="student alone", model=student, epochs=epochs, batch_size=batch_size)}
    for name, (label, model, teacher_epochs) in teachers.items():
        own = {"model": model, "batch_size": batch_size}
        runs[f"teacher_{name}"] = schema.run(label=f"teacher {label}", epochs=teacher_epochs, **own)
        # A short schedule whole, not a long one cut off: the rate falls to the same end.
        short = schema.run(label=f"teacher {label}, ¼ of the epochs", epochs=teacher_epochs / 4, **own)
        runs[f"teacher_{name}_early"] = short
        short.evaluations = 4
        runs[f"assistant_{name}"] = _taught(f"assistant of {label}", assistant, epochs, batch_size, f"teacher_{name}")
        runs[f"kd_{name}"] = _taught(f"KD from {label}", student, epochs, batch_size, f"teacher_{name}")
        stopped = runs[f"eskd_{name}"] = _taught(f"ESKD from {label}", student, epochs, batch_size, f"teacher_{name}")
        stopped.plans.terms = ((0.0, ("ce", "soft_target")), (0.5, ("ce",)))
        early = f"KD from {label}, early-stopped"
        runs[f"kd_{name}_early"] = _taught(early, student, epochs, batch_size, f"teacher_{name}_early")
        through = f"KD from {label}, through the assistant"
        runs[f"kd_{name}_assisted"] = _taught(through, student, epochs, batch_size, f"assistant_{name}")
    return runs


def claims() -> tuple[tuple[str, str, str], ...]:
    """What the literature says of bigger teachers, as differences between runs."""
    return (
        ("The largest teacher is the most accurate", "teacher_large", "teacher_small"),
        ("KD helps: small teacher", "kd_small", "student"),
        ("KD helps: large teacher", "kd_large", "student"),
        ("A larger teacher teaches worse", "kd_small", "kd_large"),
        ("ESKD helps beyond KD: large teacher", "eskd_large", "kd_large"),
        ("ESKD helps beyond no teacher: large teacher", "eskd_large", "student"),
        ("An early-stopped large teacher teaches better", "kd_large_early", "kd_large"),
        ("An assistant helps: large teacher", "kd_large_assisted", "kd_large"),
    )


def _taught(label: str, model: dict, epochs: float, batch_size: int, teacher: str):
    student = schema.run(label=label, model=model, epochs=epochs, batch_size=batch_size)
    # The labels' weight stays ½ where a plan drops the teacher: Adam does not feel the scale.
    terms = {"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": 4.0}}
    return schema.distilled(student, label, terms, schema.teacher_of_run(teacher, cached="float16"))
