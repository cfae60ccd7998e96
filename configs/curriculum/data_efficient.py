"""Which examples are worth their compute? Coresets, weights and selection beside a baseline of the same compute.

  python -m launch.train --config=configs/curriculum/data_efficient.py --workdir=runs/data_efficient \
      --results=results/curriculum_data_efficient.md
  python -m launch.train --config=configs/curriculum/data_efficient.py:solar --workdir=runs/data_efficient_solar \
      --results=results/curriculum_data_efficient_solar.md

5,000 real digits, 28×28, a ResNet-8 of half its width; variant ``solar``: photos of solar cells at 112×112, a ResNet-18
of a quarter of its width. All runs but ``full`` and other lengths of the baseline have the compute of ``short``, the
control: 40 % of the steps of ``full``, and fewer where steps ask their student about candidates. What ranks examples
beforehand is not counted: for EL2N and GraNd a tenth of ``full``, for forgetting and maps all of it, for the held-out
losses two networks on halves of the data. Five seeds, paired.
Cost: an hour for digits on one CPU core, and as long for solar cells with every run's ``convolutions="onednn"``.
Variants ``tiny`` (digits) and ``solar_tiny``: no result.
"""

from configs.solar_cells import use_solar_cells
from effjax.curricula import compute_progress, efficienttrain_plus, epochs_for_compute
from effjax.recipes import schema

BUDGET = 0.4  # of the compute of the whole run
SHORTER = (0.2, 0.7)  # further lengths of the baseline, for the curve of accuracy against compute
CORESETS = {
    "el2n": ("EL2N", {"by": "el2n", "run": "early"}),
    "grand": ("GraNd", {"by": "grand", "run": "early"}),
    "forgetting": ("forgetting", {"by": "forgetting", "run": "full"}),
    "ambiguous": ("variability of the dataset map", {"by": "variability", "run": "full"}),
    "random": ("random", {"part": "random"}),
}
CANDIDATES = 3  # for each example that is trained on, where the student is asked: two steps for one
SELECTIONS = {
    "online_loss": ("the highest losses of a batch", {"score": "loss"}),
    "online_el2n": ("the largest errors of a batch (EL2N)", {"score": "el2n"}),
    "rho": ("RHO-loss", {"score": "rho_loss", "run": "halves"}),
    "jest": ("learnability, drawn (JEST)", {"score": "learnability", "run": "halves"}),
}


def runs(full, final_size: int, unit: int):
    """All runs by name; ``unit`` is what lengths are multiples of, in steps."""

    def length(share: float) -> int:
        return max(round(full.steps * share / unit), 1) * unit

    def other(label: str, share: float = BUDGET, **changes):
        run = full.copy_and_resolve_references()
        run.update(label=label, record=False, forgetting=False, steps=length(share))
        for name, value in changes.items():
            run[name] = value
        return run

    found = {"full": full, "short": other(f"baseline, {BUDGET:.0%} of the steps")}
    for share in SHORTER:
        found[f"short_{round(100 * share)}"] = other(f"baseline, {share:.0%} of the steps", share)
    found["early"] = other("baseline, 10% of the steps", 0.1)  # which scores, too
    found["halves"] = other("two networks on halves of the data", folds=2, evaluations=1)
    for name, (what, options) in CORESETS.items():
        found[f"coreset_{name}"] = other(f"coreset of {BUDGET:.0%}, {what}", coreset=schema.coreset(BUDGET, **options))
    found["pacing"] = other("easy first, classes in turn")
    found["pacing"].pacing = schema.paced("linear", by="held_out_loss", run="halves", balanced=True)
    found["super_loss"] = other("SuperLoss", weighting=schema.weighting("super_loss"))
    found["infobatch"] = other("InfoBatch", selection=schema.selection("infobatch"))
    several = round(1.8 * full.batch_size / 4) * 4 / full.batch_size  # as many as dropping half of the easy ones leaves
    found["infobatch"].plans.candidates = ((0.0, several), (0.875, 1))
    for name, (what, options) in SELECTIONS.items():
        run = other(what, BUDGET / (1 + CANDIDATES / 3), selection=schema.selection(**options))
        run.plans.candidates = ((0.0, CANDIDATES),)
        found[name] = run
    plans = efficienttrain_plus(final_size=final_size)
    plus = other("EfficientTrain++", epochs_for_compute(plans[0], BUDGET), reduction="resize")
    plus.plans.update({plan.setting: plan.pieces for plan in plans})
    plus.schedule.progress = compute_progress(plans[0])
    return {**found, "efficienttrain": plus}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("solar", "tiny", "solar_tiny"))
    solar, tiny = variant.startswith("solar"), variant.endswith("tiny")
    config = schema.experiment()
    if solar:
        full = schema.run(model={"name": "resnet18", "width": 0.25}, batch_size=32, steps=640)
        use_solar_cells(config, 112)
        config.view.mean, config.view.std, config.view.flip = (0.5,), (0.25,), True
    else:
        full = schema.run(model={"name": "resnet8", "width": 0.5}, batch_size=50, steps=1600)
        config.view.mean, config.view.std = (0.13,), (0.31,)
    config.view.operations = 2
    full.update(label="baseline, whole", record=True, forgetting=True)
    full.optimizer.update(name="adamw", learning_rate=3e-3)
    full.schedule.warmup = 20 / 300
    if tiny:
        full.steps = 20
        config.data.update(train="train[:200]", validation="validation[:100]", test="test[:100]")
    config.title = f"Data-efficient training on {'solar cells' if solar else 'digits'}"
    config.num_seeds, config.control = 1 if tiny else 5, "short"
    made = runs(full, 112 if solar else 28, 2 if tiny else 10)
    for run in made.values():
        run.evaluations = 1 if tiny or run.folds else 10
        run.steps_per_dispatch = 1 if tiny else 0  # compiles faster
    config.runs.update(made)
    config.table = tuple(name for name in made if name != "halves")
    claimed = (name for name in config.table if name not in ("full", "early") and not name.startswith("short"))
    config.claims = tuple(
        (f"{config.runs[name].label} beats the shortened baseline", name, "short") for name in claimed
    )
    return config
