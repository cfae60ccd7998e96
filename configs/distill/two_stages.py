"""Losses of feature maps that have a stage of their own, beside those that have none: one teacher, one budget.

  python -m launch.train --config=configs/distill/two_stages.py --workdir=runs/two_stages \
      --results=results/distill_two_stages.md

On 5,000 real digits: a ResNet-20 teaches a ResNet-8 of the same channels, both of half the usual width. AB, FSP and
FitNets first bring the student's maps near the teacher's, with nothing else to learn, and then train it on labels alone
(FitNets: with soft targets); FT first trains its paraphraser, without the student. OFD and attention transfer are added
to the labels all the way. Weights are those published for CIFAR-100 (effjax.steps.presets); none was tuned here. All
students see as many images, the first stage's included: so what a first stage gives has to pay for itself.
Cost: about 20 minutes on two CPU cores. Expected: results/distill_two_stages.md. Variant ``tiny``: no result.
"""

from effjax.recipes import schema
from effjax.steps import presets

FIRST = 0.15  # of the run
MAPS = ("stage1", "stage2", "stage3")


def _of(*taps: str) -> dict:
    return {"student_taps": taps, "teacher_taps": taps}


def _at(tap: str) -> dict:
    return {"student_tap": tap, "teacher_tap": tap}


BEFORE = _of(*(f"{tap}/preact" for tap in MAPS))
FORMS = {  # name -> label, convention, method and term, its taps
    "fitnets": ("FitNets: hint, then soft targets", "paper", "hint", _at("stage2")),
    "fsp": ("FSP", "repdistiller", "fsp", _of("stem", *MAPS)),
    "ab": ("activation boundaries (AB)", "repdistiller", "ab", BEFORE),
    "ft": ("factor transfer (FT)", "repdistiller", "ft", _at("stage3")),
    "ofd": ("overhaul (OFD)", "mdistiller", "ofd", BEFORE),
    "attention": ("attention transfer (AT)", "repdistiller", "attention", _of(*MAPS)),
}
STAGES = {  # name -> what the first stage trains, what the second; the terms of the second
    "fitnets": ("up to stage2", ".*", ("ce", "soft_target")),
    "fsp": ("up to stage3", ".*", ("ce",)),
    "ab": ("up to stage3/preact", ".*", ("ce",)),
    "ft": ("ft/paraphraser/.*", "student/.*|ft/translator/.*", ("ce", "ft")),
}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.title = "Feature maps first, on digits"
    config.num_seeds = 1 if variant else 5
    config.view.mean, config.view.std = (0.13,), (0.31,)
    teacher = schema.run(label="teacher: ResNet-20 × ½", model={"name": "resnet20", "width": 0.5})
    teacher.epochs, teacher.batch_size, teacher.optimizer.learning_rate = 12.0, 100, 3e-3
    student = teacher.copy_and_resolve_references()
    student.label, student.model.name = "student alone: ResNet-8 × ½", "resnet8"
    taught = schema.teacher_of_run("teacher")
    kd = schema.distilled(student, "soft targets", presets.published("repdistiller", "kd"), taught)
    runs = {"teacher": teacher, "student": student, "kd": kd}
    for name, (label, convention, term, taps) in FORMS.items():
        terms = presets.published(convention, term)
        terms[term].update(taps)
        run = runs[name] = schema.distilled(student, label, terms, taught)
        if name in STAGES:
            first, second, then = STAGES[name]
            run.plans.terms = ((0.0, (term,)), (FIRST, then))
            run.plans.trainable = ((0.0, first), (FIRST, second))
    config.runs.update(runs)
    config.table = tuple(runs)
    config.claims = tuple((f"{label} helps", name, "student") for name, (label, *_) in FORMS.items())
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations = 1.0, 2
    return config
