"""All losses head to head: one teacher, one small student, one budget, the published weights.

  python -m launch.train --config=configs/distill/losses.py --workdir=runs/losses --results=results/distill_losses.md

On 5,000 real digits; the S-CNN teaches one of an eighth of its width (without dropout: with it, so thin a network
underfits, and only that is seen). Weights and temperatures are those published for CIFAR-100 (effjax.steps.presets,
mostly RepDistiller's); none was tuned here, so this says how the forms do as they come, not how well each could do.
Features are compared after both convolutions, relations before the classifier.
Cost: about 15 minutes on two CPU cores. Expected: results/distill_losses.md. Variant ``tiny``: no result.
"""

from effjax.recipes import schema
from effjax.steps import presets

MAPS = {"student_taps": ("conv1", "conv2"), "teacher_taps": ("conv1", "conv2")}
HINTED = {"student_tap": "conv2", "teacher_tap": "conv2", "regressor": "fitnets"}
POOLED = {"student_tap": "penultimate", "teacher_tap": "penultimate"}
FORMS = {  # name -> label, convention, method, what the taps are
    "kd": ("soft targets", "repdistiller", "kd", {}),
    "dkd": ("decoupled soft targets (DKD)", "mdistiller", "dkd", {}),
    "dist": ("correlation (DIST)", "paper", "dist", {}),
    "hint": ("hint, all the way", "repdistiller", "hint", {"hint": HINTED}),
    "attention": ("attention transfer", "repdistiller", "attention", {"attention": MAPS}),
    "relational": ("relations (RKD)", "repdistiller", "relational", {}),
    "similarity": ("similarity (SP)", "repdistiller", "similarity", {"similarity": POOLED}),
    "contrastive": ("contrastive, in the batch", "repdistiller", "contrastive", {}),
}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.title = "All losses under one budget, on digits"
    config.num_seeds = 1 if variant else 5
    config.view.mean, config.view.std = (0.13,), (0.31,)
    thin = {"name": "scnn", "width": 0.125, "dropout": (0.0, 0.0)}
    teacher = schema.run(label="teacher: S-CNN", model={"name": "scnn"}, epochs=8.0, batch_size=50)
    student = schema.run(label="student alone: S-CNN × ⅛", model=thin, epochs=20.0, batch_size=50)
    runs, taught = {"teacher": teacher, "student": student}, schema.teacher_of_run("teacher")
    for name, (label, convention, method, taps) in FORMS.items():
        terms = presets.published(convention, method)
        for term, paths in taps.items():
            terms[term].update(paths)
        runs[name] = schema.distilled(student, label, terms, taught)
    runs["logit_mse"] = schema.distilled(
        student, "logits (MSE)", {"ce": {"weight": 0.5}, "logit_mse": {"weight": 0.05}}, taught
    )
    stopped = runs["eskd"] = schema.distilled(
        student, "soft targets, early-stopped (ESKD)", presets.published("repdistiller", "kd"), taught
    )
    stopped.plans.terms = ((0.0, ("ce", "soft_target")), (0.5, ("only_ce",)))
    stopped.terms.only_ce = {"kind": "ce", "weight": 1.0}
    config.runs.update(runs)
    config.table = tuple(runs)
    config.claims = tuple((f"{FORMS[name][0]} helps", name, "student") for name in FORMS)
    config.claims += tuple((f"{FORMS[name][0]} beats soft targets", name, "kd") for name in FORMS if name != "kd")
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations = 1.0, 2
    return config
