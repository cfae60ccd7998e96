"""The experiments of active learning in their tiny form: loops, report, table."""

import importlib

import pytest

from effjax.data.prepare import prepare
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active.checks import loop_problems

#: A few of the loops of each.
KEPT = {
    "stream": ("random", "quantile"),
    "solar_cells": ("random", "known_25", "guessed_25", "everything"),
}


@pytest.mark.parametrize("name", ["stream", "solar_cells"])
def test_an_experiment_runs_to_its_table(name, tmp_path, data_dir):
    module = importlib.import_module(f"configs.active.{name}")
    config = module.get_config("tiny")
    config.data.dir = str(data_dir)
    kept = KEPT[name]
    config.runs = {run: config.runs[run] for run in kept}
    config.table, config.claims = tuple(run for run in kept if config.runs[run].query), ()
    if name == "solar_cells":  # of a network that compiles in no time
        config.data.image_size = 16
        for run in config.runs.values():
            run.model = {"name": "mlp", "widths": (8,), "dropout": 0.2}
    prepare(config.data.name, data_dir)
    active.main(config.to_dict(), tmp_path, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    for run in config.table:
        assert config.runs[run].label in text
    assert ("likely_functional or likely_defective" in text) == (name == "solar_cells")


@pytest.mark.parametrize("name", ["beluch", "beluch_search", "shapes", "solar_cells", "solar_search", "stream"])
@pytest.mark.parametrize("variant", ["", "tiny"])
def test_every_query_is_one(name, variant):
    config = importlib.import_module(f"configs.active.{name}").get_config(variant).to_dict()
    schema.check(config, loop_problems)
    assert {run for run in config["runs"] if config["runs"][run]["query"]} == set(config["table"])
