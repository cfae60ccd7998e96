"""The experiment whose runs are exported: seconds."""

from effjax.recipes import schema


def small_experiment(data_dir):
    config = schema.experiment()
    config.data.dir, config.data.train, config.eval_batch_size = str(data_dir), "train[:400]", 100
    config.data.validation = config.data.test = "validation[:100]"
    common = {"steps": 24, "batch_size": 40, "evaluations": 2}
    config.runs.mlp = schema.run(model={"name": "mlp", "widths": (24,)}, **common)
    config.runs.scnn = schema.run(model={"name": "scnn", "width": 0.125}, **common)
    for bits in ("w8a8", "w4a4"):
        run = schema.run(model={"name": "scnn", "width": 0.125}, **common)
        run.plans.bits = ((0.0, None), (0.5, bits))
        config.runs[bits] = run
    return config.to_dict()
