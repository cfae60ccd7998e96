"""The experiments of active learning in their tiny form: loops, report, table."""

import importlib

import pytest

from effjax.data.prepare import prepare
from effjax.recipes import active


@pytest.mark.parametrize("name", ["stream", "shapes", "solar_cells"])
def test_an_experiment_runs_to_its_table(name, tmp_path, data_dir):
    module = importlib.import_module(f"configs.active.{name}")
    config = module.get_config("tiny")
    config.data.dir = str(data_dir)
    if name == "solar_cells":  # a few of its loops, of a network that compiles in no time
        kept = ("random", "entropy", "known_25", "guessed_25", "everything")
        config.runs = type(config.runs)({run: config.runs[run] for run in kept})
        config.table, config.claims, config.data.image_size = kept[:-1], (), 16
        for run in config.runs.values():
            run.model = type(run.model)({"name": "mlp", "widths": (8,), "dropout": 0.2})
    prepare(config.data.name, data_dir)
    active.main(config.to_dict(), tmp_path, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    for run in config.table:
        assert config.runs[run].label in text
    assert ("likely_functional or likely_defective" in text) == (name == "solar_cells")


def test_every_query_of_beluch_is_one():
    config = importlib.import_module("configs.active.beluch").get_config("tiny").to_dict()
    active.check(config)
    assert set(config["runs"]) == set(config["table"])
