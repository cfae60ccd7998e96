"""A labelling loop whose answers come from people, as a user's config that is older than the rooms says it."""

from effjax.recipes import config as schema


def get_config():
    config = schema.experiment()
    config.recipe = "active"
    config.data.update(name="folder:../photos/photos", pool="../photos/pool", image_size=8)
    config.active.update(oracle="folder", initial=4, per_round=3, rounds=3)
    config.eval_batch_size = 4
    run = schema.run(model={"name": "mlp", "widths": (4,)}, steps=4, batch_size=4, evaluations=1)
    run.query = schema.query(predictions="ensemble", members=2, score="bald")
    config.runs.mine = run
    return config
