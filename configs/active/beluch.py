"""Which examples to label? Ensembles, dropout, augmentations and single networks, on digits (Beluch et al. 2018).

  python -m launch.active --config=configs/active/beluch.py --workdir=runs/beluch --results=results/active_beluch.md

5,000 real digits, of which 3,500 are the pool; 100 labels at random, then 150 a round up to 1,150; each round trains
afresh, on digits shifted by up to two pixels. Ensembles of five networks from different seeds, 25 passes with dropout,
10 shifted versions, one network. Random choice is the control, of one network and of the same ensemble: an ensemble is
ahead of one network whatever it was asked, for it averages. The network is the paper's S-CNN at a quarter of its
width: on two CPU cores the whole one would take a day; variant ``full`` is the whole one, for a GPU. The narrow one
drops fewer units and trains faster, as configs/active/beluch_search.py found best on validation, with random labels.
Cost: about 45 minutes as two processes of one CPU core each (share the loops out: --only=random,entropy,…), three and a
half as six processes on one H200. Expected: results/active_beluch.md; the paper finds ensembles ahead of dropout and of
single networks, and all ahead of random.
Variants: ``headline``: what choosing gives and what averaging gives, four of the loops in half an hour
(results/active_beluch_headline.md); ``tiny``: no result.
"""

from effjax.recipes import schema

LABELS = {
    "random": "random",
    "random_ensemble": "ensemble, random",
    "entropy": "one network, entropy",
    "margin": "one network, margin",
    "k_center": "one network, k-center",
    "badge": "one network, BADGE",
    "consistency": "augmentations, consistency",
    "dropout_entropy": "dropout, entropy",
    "dropout_bald": "dropout, BALD",
    "dropout_variation": "dropout, variation ratio",
    "ensemble_entropy": "ensemble, entropy",
    "ensemble_bald": "ensemble, BALD",
    "ensemble_variation": "ensemble, variation ratio",
}


HEADLINE = ("random", "random_ensemble", "entropy", "ensemble_variation")


def queries() -> dict:
    """By loop, how it chooses."""
    found = {
        "random": schema.query(selector="random"),
        "random_ensemble": schema.query(predictions="ensemble", selector="random"),
        "entropy": schema.query(),
        "margin": schema.query(score="margin"),
        "k_center": schema.query(selector="k_center_greedy"),
        "badge": schema.query(selector="badge"),
        "consistency": schema.query(predictions="augmentations", passes=10, score="consistency"),
    }
    for kind in ("dropout", "ensemble"):
        for name, score in (("entropy", "entropy"), ("bald", "bald"), ("variation", "variation_ratio")):
            found[f"{kind}_{name}"] = schema.query(predictions=kind, score=score)
    return found


def get_config(variant: str = ""):
    schema.check_variant(variant, ("full", "headline", "tiny"))
    config = schema.experiment()
    config.recipe, config.title = "active", "Which digits to label?"
    config.num_seeds = 1 if variant == "tiny" else 5
    config.view.mean, config.view.std, config.view.shift = (0.13,), (0.31,), 2
    config.active.update(initial=100, per_round=150, rounds=8)
    names = HEADLINE if variant == "headline" else LABELS
    for name, query in queries().items():
        if name not in names:
            continue
        run = schema.run(label=LABELS[name], batch_size=32, steps=500, evaluations=1, query=query)
        narrow = {"name": "scnn", "width": 0.25, "dropout": (0.25, 0.25)}
        run.model = {"name": "scnn"} if variant == "full" else narrow
        run.optimizer.learning_rate = 1e-3 if variant == "full" else 3e-3
        config.runs[name] = run
    config.control, config.table = "random", tuple(names)
    claims = (
        ("Uncertainty beats random", "entropy", "random"),
        ("An ensemble's choice beats random, for an ensemble", "ensemble_variation", "random_ensemble"),
        ("An ensemble beats one network, on random labels", "random_ensemble", "random"),
        ("An ensemble beats dropout", "ensemble_variation", "dropout_variation"),
        ("An ensemble beats one network", "ensemble_entropy", "entropy"),
        ("BADGE beats uncertainty alone", "badge", "entropy"),
    )
    config.claims = tuple(claim for claim in claims if set(claim[1:]) <= set(names))
    if variant == "tiny":
        config.active.update(initial=10, per_round=10, rounds=2)
        for run in config.runs.values():
            run.steps = 4
            run.query.members = run.query.passes = 2
    return config
