"""A stream, whose examples are asked for at once or never, against a pool that may be looked through: digits.

  python -m launch.active --config=configs/active/stream.py --workdir=runs/stream --results=results/active_stream.md

3,500 real digits. From the pool, 100 labels at random, then the 50 least sure a round. From the stream, the first 100,
then one in seven on average, as one of four policies decides. Both end with about 600 labels; random is the control.
Cost: about 10 minutes on two CPU cores. Expected: a pool offers more choice than a stream. Variant ``tiny``: no result.
"""

from effjax.recipes import schema

POLICIES = {
    "fixed": schema.stream("fixed_threshold", 1 / 7, threshold=0.3),
    "variable": schema.stream("variable_threshold", 1 / 7),
    "randomised": schema.stream("randomised_threshold", 1 / 7),
    "quantile": schema.stream("quantile_filter", 1 / 7),
}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.recipe, config.title = "active", "Digits as a stream and as a pool"
    config.num_seeds = 1 if variant else 10
    config.view.mean, config.view.std = (0.13,), (0.31,)
    config.active.update(initial=100, per_round=50, rounds=11, levels=(0.85, 0.9))
    queries = {"random": schema.query(selector="random"), "pool": schema.query()}
    labels = {"random": "pool, random", "pool": "pool, entropy"}
    for name, policy in POLICIES.items():
        queries[name] = schema.query(selector="stream", stream=policy)
        labels[name] = f"stream, {policy.policy.replace('_', ' ')}"
    for name, query in queries.items():
        run = schema.run(label=labels[name], batch_size=32, steps=300, evaluations=1, query=query)
        run.model = {"name": "mlp", "widths": (256,)}
        config.runs[name] = run
    config.control, config.table = "random", tuple(queries)
    config.claims = (
        ("Choosing from a pool beats random", "pool", "random"),
        ("Choosing from a stream beats random", "variable", "random"),
        ("A pool beats a stream", "pool", "variable"),
    )
    if variant:
        config.active.update(initial=20, per_round=20, rounds=3)
        for run in config.runs.values():
            run.steps = 4
    return config
