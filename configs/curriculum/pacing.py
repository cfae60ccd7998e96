"""Do curricula work? Six pacing functions, three orders, with and without wrong labels.

  python -m launch.train --config=configs/curriculum/pacing.py --workdir=runs/pacing \
      --results=results/curriculum_pacing.md
  python -m launch.train --config=configs/curriculum/pacing.py:noise --workdir=runs/pacing_noise \
      --results=results/curriculum_pacing_noise.md

After Wu et al., "When do curricula work?", ICLR 2021: they find that, on clean data and with time enough, no order
beats any other, and that with wrong labels the easy-first order helps. 5,000 real digits, an MLP; variant ``noise``: a
fifth of the training labels is wrong. Difficulty: how often networks that did not train on an example are wrong.
Cost: about 10 minutes each on two CPU cores. Expected: results/curriculum_pacing.md and _noise.md. Variant ``tiny``: no
result.
"""

from effjax.curricula.pacing import KINDS
from effjax.recipes import schema

ORDERS = {"curriculum": "easy first", "anti-curriculum": "hard first", "random": "random order"}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("noise", "tiny"))
    config = schema.experiment()
    config.title = f"Pacing and order on digits{', a fifth of the labels wrong' if variant == 'noise' else ''}"
    config.num_seeds, config.seeds_together = 2 if variant == "tiny" else 5, True
    config.data.label_noise = 0.2 if variant == "noise" else 0.0
    config.view.mean, config.view.std = (0.13,), (0.31,)
    standard = schema.run(label="all examples from the start", model={"name": "mlp", "widths": (256,)}, epochs=30.0)
    config.runs.reference = standard.copy_and_resolve_references()
    config.runs.reference.update(label="cross-validation", epochs=10.0, folds=5, evaluations=1)
    config.runs.standard = standard
    for kind in KINDS:
        for order, said in ORDERS.items():
            run = standard.copy_and_resolve_references()
            run.label = f"{kind}, {said}"
            run.pacing = schema.paced(kind, order=order, by="c_score", run="" if order == "random" else "reference")
            config.runs[f"{kind}_{order}".replace("-", "_")] = run
    config.control = "standard"
    names = [f"{kind}_{order}".replace("-", "_") for kind in KINDS for order in ORDERS]
    config.table = ("standard", *names)
    config.claims = tuple(
        claim
        for kind in KINDS
        for claim in (
            (f"Easy first helps ({kind})", f"{kind}_curriculum", "standard"),
            (f"Easy first beats a random order ({kind})", f"{kind}_curriculum", f"{kind}_random"),
        )
    )
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations = 0.5, 2
    return config
