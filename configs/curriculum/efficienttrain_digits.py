"""EfficientTrain on digits: what do small images, rising augmentation, and both save?

  python -m launch.train --config=configs/curriculum/efficienttrain_digits.py --workdir=runs/efficienttrain_digits \
      --results=results/curriculum_efficienttrain_digits.md

5,000 real digits, 28×28 (so the sizes are 20, 24, 28), 20 epochs. A ResNet-8 of half its width, RandAugment. The
baseline sees whole images at magnitude 9 all the way; then the low-frequency crop alone, the rising magnitude alone,
both (EfficientTrain), and EfficientTrain++ with two thirds of the baseline's compute.
Cost: about 20 minutes on one CPU core (`taskset -c 0 python …`, and nothing else on it: then the seconds compare).
Expected: results/curriculum_efficienttrain_digits.md. Variant ``tiny``: no result. Variant ``figure``: accuracy against
compute, the baseline and both EfficientTrains at a quarter, a half, two thirds and all of it; about 40 minutes.
"""

from effjax.curricula import compute_progress, efficienttrain, efficienttrain_plus, epochs_for_compute
from effjax.recipes import schema


def curricula(run, final_size: int):
    """The same run under every curriculum."""

    def under(label: str, *plans, **changes):
        other = run.copy_and_resolve_references()
        other.label = label
        other.plans.update({plan.setting: plan.pieces for plan in plans})
        other.update(changes)
        return other

    sizes, magnitudes = efficienttrain(final_size)
    plus = efficienttrain_plus(final_size=final_size)
    steps = round(epochs_for_compute(plus[0], run.steps * 2 / 3) / 40) * 40  # ten evaluations, blocks of four steps
    shorter = under("EfficientTrain++, ⅔ of the compute", *plus, reduction="resize", steps=steps)
    shorter.schedule.progress = compute_progress(plus[0])
    return {
        "baseline": run,
        "crop": under("low-frequency crop alone", sizes),
        "magnitude": under("rising magnitude alone", magnitudes),
        "efficienttrain": under("EfficientTrain", sizes, magnitudes),
        "plus": shorter,
    }


def experiment(run, final_size: int, num_seeds: int):
    """All curricula of a run; fill in title and data."""
    config = schema.experiment()
    config.num_seeds, config.control = num_seeds, "baseline"
    config.view.operations = 2
    config.runs.update(curricula(run, final_size))
    config.table = ("baseline", "crop", "magnitude", "efficienttrain", "plus")
    config.claims = tuple(
        (f"{what} is better than the baseline", name, "baseline")
        for what, name in (
            ("The crop alone", "crop"),
            ("The rising magnitude alone", "magnitude"),
            ("EfficientTrain", "efficienttrain"),
            ("EfficientTrain++", "plus"),
        )
    )
    return config


SHARES = {"quarter": 0.25, "half": 0.5, "thirds": 2 / 3, "all": 1.0}


def at_several_lengths(config, final_size: int):
    """The baseline and both EfficientTrains at shares of its compute, in the place of an experiment's runs."""
    whole, sizes = (
        config.runs.baseline,
        {"v1": efficienttrain(final_size), "plus": efficienttrain_plus(final_size=final_size)},
    )
    made = {}
    for name, label in (("baseline", "baseline"), ("v1", "EfficientTrain"), ("plus", "EfficientTrain++")):
        for share, value in SHARES.items():
            run = whole.copy_and_resolve_references()
            cost = whole.steps * value
            if name in sizes:
                run.plans.update({plan.setting: plan.pieces for plan in sizes[name]})
                cost = epochs_for_compute(sizes[name][0], cost)
            if name == "plus":
                run.reduction, run.schedule.progress = "resize", compute_progress(sizes[name][0])
            run.update(label=f"{label}, {value:.0%} of the compute", steps=max(round(cost / 40), 1) * 40)
            made[f"{name}_{share}"] = run
    config.runs = made
    config.control, config.table, config.claims = "baseline_all", tuple(made), ()


def get_config(variant: str = ""):
    schema.check_variant(variant, ("figure", "tiny"))
    run = schema.run(label="baseline", model={"name": "resnet8", "width": 0.5}, batch_size=50, steps=1600)
    run.optimizer.update(name="adamw", learning_rate=3e-3)
    run.schedule.warmup = 20 / 300
    if variant == "tiny":
        run.steps, run.evaluations = 40, 5
    config = experiment(run, 28, 1 if variant == "tiny" else 5)
    config.title = "EfficientTrain on digits"
    if variant == "figure":
        at_several_lengths(config, 28)
    config.view.mean, config.view.std = (0.13,), (0.31,)
    return config
