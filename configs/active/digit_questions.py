"""Which questions about images should be answered, where nobody can learn some of the answers? Grids of real digits.

  python -m launch.data --dataset=digit_questions/unlearnable_30 --data_dir=data
  python -m launch.active --config=configs/active/digit_questions.py --workdir=runs/digit_questions \
      --results=results/active_digit_questions.md

20,000 questions about 2×2 to 3×3 digits are the pool; nothing in the image answers 30 % of them. 1,000 answers at
random, then 1,000 a round up to 6,000; each round trains afresh. Seven ways to choose × what is left out of the pool as
unlearnable (10, 25 or 50 %, by the map of all labels, which only a simulation has, or by the map of what is labelled,
extended to the rest), each beside random from the very same pool. The first round, before which nothing is left out,
is the same for all. Then an annotator who answers "cannot be answered" where that is so: the network learns it as one
more answer, and what it expects to be so answered counts for less.
Cost: about 90 CPU seconds a loop (its five seeds train in one program, 30 trainings of a thousand steps), EPIG's 150
more: some 50 minutes as two processes of one CPU core each (share the loops out: --only=everything,random,…).
Variants: ``unlearnable_0``, ``unlearnable_15``, ``unlearnable_45``: other shares of unlearnable questions (each a
dataset of its own), and of the loops random, entropy and BALD, with and without half of the pool; ``tiny``: no result.
"""

from effjax.recipes import schema

SHARES = (0.1, 0.25, 0.5)
QUERIES = {
    "random": ("random", {"selector": "random"}),
    "entropy": ("entropy", {}),
    "margin": ("margin", {"score": "margin"}),
    "bald": ("dropout, BALD", {"predictions": "dropout", "passes": 10, "score": "bald"}),
    "epig": ("dropout, EPIG", {"predictions": "dropout", "passes": 10, "score": "epig"}),
    "k_center": ("k-center", {"selector": "k_center_greedy"}),
    "badge": ("BADGE", {"selector": "badge"}),
}
UNANSWERABLE = "cannot be answered"
TOLD = {  # by an annotator who says so
    "random_told": ("random", {**QUERIES["random"][1]}),
    "entropy_told": ("entropy", {}),
    "bald_told": ("dropout, BALD", {**QUERIES["bald"][1]}),
    "entropy_told_discounted": ("entropy, discounted", {"discount": UNANSWERABLE}),
    "bald_told_discounted": ("dropout, BALD, discounted", {**QUERIES["bald"][1], "discount": UNANSWERABLE}),
}
VARIANTS = ("unlearnable_0", "unlearnable_15", "unlearnable_45", "tiny")
UNLEARNABLE = ("external", "underspecified", "unreadable", "multi_hop")


def arms() -> dict:
    """By loop: what it is called, how it chooses, and the random loop that it is compared with."""
    found = {name: (label, schema.query(**given), "random") for name, (label, given) in QUERIES.items()}
    for source, said in (("known", "all labels known"), ("guessed", "guessed")):
        given = {"source": "labels", "run": "everything"} if source == "known" else {}
        for share in SHARES:
            for name, (label, chosen) in QUERIES.items():
                query = schema.query(**chosen, outliers=schema.outliers(((0, share),), **given))
                suffix = f"{source}_{100 * share:.0f}"
                found[f"{name}_{suffix}"] = (f"{label}, {share:.0%} out, {said}", query, f"random_{suffix}")
    for name, (label, given) in TOLD.items():
        query = schema.query(**given, annotator="answered")
        found[name] = (f"{label}, told what cannot be answered", query, "random_told")
    return found


def get_config(variant: str = ""):
    schema.check_variant(variant, VARIANTS)
    tiny = variant == "tiny"
    config = schema.experiment()
    config.recipe, config.task, config.title = "active", "answering", "Which questions about digits to answer?"
    config.data.name = f"digit_questions/{'unlearnable_30' if tiny or not variant else variant}"
    config.num_seeds, config.seeds_together = 2 if tiny else 5, True
    config.view.mean, config.view.std = (0.1,), (0.3,)
    config.eval_batch_size = 1000
    config.active.update(initial=1000, per_round=1000, rounds=6, scoring_batch=1000, levels=(0.4, 0.45, 0.5))
    config.active.watch, config.active.watch_by = UNLEARNABLE, "kind"
    found = arms()
    if variant and not tiny:
        few = ("random", "entropy", "bald")
        found = {name: arm for name, arm in found.items() if name in (*few, *(f"{one}_known_50" for one in few))}
    for name, (label, query, _) in found.items():
        config.runs[name] = _trained(schema.run(label=label, steps=1000, query=query, record=True))
    config.runs.everything = _trained(schema.run(label="all labels", steps=2000, record=True))
    config.control, config.table = "random", tuple(found)
    config.claims = tuple(
        (f"{label}: beats random from the same pool", name, control)
        for name, (label, _, control) in found.items()
        if name != control
    )
    if tiny:
        config.data.train, config.data.validation, config.data.test = "train[:300]", "validation[:50]", "test[:60]"
        config.active.update(initial=20, per_round=20, rounds=2)
        for run in config.runs.values():
            run.steps, run.batch_size = 4, 8
            if run.query:
                run.query.passes = 2
    return config


def _trained(run):
    run.batch_size, run.evaluations = 64, 1
    run.model = {"name": "vqa_attention"}
    run.optimizer.update(name="adamw", learning_rate=7e-3, weight_decay=1e-2)
    return run
