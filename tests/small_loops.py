"""Labelling loops of seconds."""

import json

from effjax.recipes import schema
from effjax.recipes.active.folder import LEDGER_FILE

ROUNDS, COUNT = 3, 10


def loops(data_dir, **queries):
    config = schema.experiment()
    config.recipe = "active"
    config.data.dir, config.eval_batch_size = str(data_dir), 100
    config.view.shift = 1
    config.active.update(initial=COUNT, per_round=COUNT, rounds=ROUNDS)
    for name, query in queries.items():
        config.runs[name] = schema.run(model={"name": "mlp", "widths": (8,), "dropout": 0.2}, steps=8, evaluations=1)
        config.runs[name].update(batch_size=8, query=query)
    return config


def entries(folder):
    return [json.loads(line) for line in (folder / LEDGER_FILE).read_text().splitlines()]
