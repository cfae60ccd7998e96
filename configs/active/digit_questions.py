"""Which questions about images should be answered, where nobody can learn some of the answers? Grids of real digits.

  python -m launch.data --dataset=digit_questions/unlearnable_30 --data_dir=data
  python -m launch.active --config=configs/active/digit_questions.py --workdir=runs/digit_questions \
      --results=results/active_digit_questions.md

20,000 questions about 2×2 to 3×3 digits are the pool; nothing in the image answers 30 % of them. 1,000 answers at
random, then 1,000 a round up to 6,000; each round trains afresh. Ways to choose × what is left out as unlearnable (10,
25 or 50 % of the pool, by the map of all labels, which only a simulation has, or by the map of what is labelled,
extended to the rest), each beside random from the very same pool. The first round is the same for all.
Variants: ``tiny``: no result.
"""

from effjax.recipes import schema

SHARES = (0.1, 0.25, 0.5)
QUERIES = {
    "random": ("random", {"selector": "random"}),
    "entropy": ("entropy", {}),
    "margin": ("margin", {"score": "margin"}),
    "bald": ("dropout, BALD", {"predictions": "dropout", "passes": 10, "score": "bald"}),
    "k_center": ("k-center", {"selector": "k_center_greedy"}),
    "badge": ("BADGE", {"selector": "badge"}),
}


def arms() -> dict:
    """By loop, what it is called and how it chooses."""
    found = {name: (label, schema.query(**given)) for name, (label, given) in QUERIES.items()}
    for source, said, given in (("known", "all labels known", {"run": "everything"}), ("guessed", "guessed", {})):
        for share in SHARES:
            left_out = schema.outliers(((0, share),), source={"known": "labels"}.get(source, "predicted"), **given)
            for name, (label, chosen) in QUERIES.items():
                key = f"{name}_{source}_{100 * share:.0f}"
                found[key] = (f"{label}, {share:.0%} out, {said}", schema.query(**chosen, outliers=left_out))
    return found


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.recipe, config.task, config.title = "active", "answering", "Which questions about digits to answer?"
    config.data.name = "digit_questions/unlearnable_30"
    config.num_seeds, config.seeds_together = 2 if variant else 5, True
    config.view.mean, config.view.std = (0.1,), (0.3,)
    config.eval_batch_size = 1000
    config.active.update(initial=1000, per_round=1000, rounds=6, scoring_batch=1000, levels=(0.4, 0.5, 0.6))
    found = arms()
    for name, (label, query) in found.items():
        config.runs[name] = _trained(schema.run(label=label, steps=1500, query=query, record=True))
    config.runs.everything = _trained(schema.run(label="all labels", steps=3000, record=True))
    config.control, config.table = "random", tuple(found)
    config.claims = tuple(
        (f"{label} beats random from the same pool", name, _control(name))
        for name, (label, _) in found.items()
        if not name.startswith("random")
    )
    if variant:
        config.data.train, config.data.validation, config.data.test = "train[:300]", "validation[:50]", "test[:60]"
        config.active.update(initial=20, per_round=20, rounds=2)
        for run in config.runs.values():
            run.steps, run.batch_size = 4, 8
    return config


def _trained(run):
    run.batch_size, run.evaluations = 64, 1
    run.model = {"name": "vqa_attention"}
    run.optimizer.update(name="adamw", learning_rate=5e-3, weight_decay=1e-2)
    return run


def _control(name: str) -> str:
    """Random from the same pool."""
    query = max((query for query in QUERIES if name.startswith(query)), key=len)
    return name.replace(query, "random", 1)
