"""The classes of the schema: configs, the page of keys and a run's identity are made from them."""

import dataclasses
import importlib

import ml_collections
import pytest
from processes import REPOSITORY

from effjax.recipes import config as by_its_old_name
from effjax.recipes import schema
from effjax.recipes.build.identity import as_of_today, beyond_defaults
from effjax.recipes.schema import table
from effjax.recipes.schema.experiment_keys import View
from effjax.recipes.schema.run_keys import Run
from effjax.recipes.schema.term_keys import Term
from effjax.steps import TERMS


def everything() -> ml_collections.ConfigDict:
    """A config that has every mapping that there may be, each at its defaults."""
    config = schema.experiment()
    config.data.also = {"more": "shapes_basic"}
    config.runs.reference = schema.run(folds=2)
    teachers = {
        "run": schema.teacher_of_run("reference", seeds=[0]),
        "folder": schema.teacher_of_checkpoint("folder", step="best"),
        "weights": schema.teacher_of_weights("resnet18", classes=(3, (1, 2)), mean=[0.5], std=[0.5]),
    }
    query = schema.query(outliers=schema.outliers(((0, 0.1),)), stream=schema.stream("fixed_threshold", 0.1))
    config.runs.all = schema.run(pacing=schema.paced("linear", run="reference"), query=query, teachers=teachers)
    return config


def test_the_page_of_keys_is_fresh():
    """If not: python -m effjax.recipes.schema.table > docs/configs.md."""
    assert (REPOSITORY / "docs" / "configs.md").read_text() == table.markdown()


def test_the_page_says_every_option_of_a_term():
    known = {field.name for field in dataclasses.fields(Term)}
    for name, make in TERMS.items():
        assert set(make.__kwdefaults__) <= known, name


def test_the_page_says_every_key_with_its_meaning():
    rows = [line.split(" | ") for line in table.markdown().splitlines() if line.startswith("| `")]
    assert all(cell.strip(" |") for row in rows for cell in (row[0], row[2], row[3]))
    named = {row[0].strip("| `") for row in rows}

    def keys(config) -> set[str]:
        own = set(config) - {"reference", "all", "weights", "folder", "more", "ce"}  # names that the user chooses
        return own.union(*(keys(one) for one in config.values() if isinstance(one, dict)))

    assert keys(everything().to_dict()) <= named


def test_every_default_is_what_its_key_may_be():
    schema.check(everything().to_dict())


def test_a_config_says_its_defaults_and_no_more():
    run = schema.run().to_dict()
    assert run["terms"] == {"ce": {"weight": 1.0}}
    assert run["optimizer"] == {"name": "adam", "learning_rate": 1e-3}  # no momentum: adam has none
    assert run["pacing"] == run["query"] == run["teachers"] == {}
    passing = schema.stream("quantile_filter", 0.1, window=20).to_dict()
    assert passing == {"policy": "quantile_filter", "budget": 0.1, "window": 20}


def test_a_mapping_replaces_a_mapping():
    run = schema.run(model={"name": "scnn", "width": 0.5}, epochs=3)
    assert isinstance(run.epochs, float)
    run.model = {"name": "resnet8"}
    assert isinstance(run.model, ml_collections.ConfigDict)
    assert run.model.to_dict() == {"name": "resnet8"}
    run.optimizer.update(momentum=0.5)
    assert schema.run().optimizer.to_dict() == {"name": "adam", "learning_rate": 1e-3}  # nothing is shared


def test_a_run_is_what_it_says_beyond_the_defaults():
    """A key that a later version adds, at its default, makes no run another run."""
    assert beyond_defaults(schema.run().to_dict(), Run) == {"model": {"name": "mlp"}}
    run = schema.run(batch_size=32, label="a run", keep=7, terms={"ce": {"weight": 1}}).to_dict()
    assert beyond_defaults(run, Run) == {"model": {"name": "mlp"}, "batch_size": 32}
    view = schema.experiment().view.to_dict()
    assert beyond_defaults({**view, "flip": True}, View) == {"mean": (0.0,), "std": (1.0,), "flip": True}


def test_what_an_earlier_version_wrote_of_the_parts_of_a_run_is_the_same_run():
    """Keys that came later, also of what a run is made of: of its teachers, its schedule, what it leaves out."""
    facts = {"seed": 3, "run": everything().runs.all.to_dict(), "view": {"mean": [0.1]}, "active": {"initial": 7}}
    facts["run"]["coreset"] = schema.coreset(0.5, part="random").to_dict()
    today = as_of_today(facts)
    teachers, written = today["run"]["teachers"], as_of_today(facts)
    for teacher in written["run"]["teachers"].values():
        for later in ("function", "options", "part", "cached"):
            assert not teacher.pop(later)
    del written["run"]["coreset"]["balanced"], written["run"]["optimizer"]["learning_rate"]
    assert written != today
    assert as_of_today(written) == today
    other = {**facts, "run": {**facts["run"], "teachers": {**teachers, "run": {**teachers["run"], "cached": "top5"}}}}
    assert as_of_today(other) != today
    assert as_of_today({"seed": 3}) == {"seed": 3}  # of whatever else keeps checkpoints


CONFIGS = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / "configs").rglob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_every_config_is_right_as_it_stands(path):
    module = importlib.import_module(str(path.with_suffix("")).replace("/", "."))
    if hasattr(module, "get_config"):
        schema.check(module.get_config().to_dict())


def test_configs_of_before_find_the_schema_by_its_old_name():
    assert {name: getattr(by_its_old_name, name) for name in schema.__all__} == {
        name: getattr(schema, name) for name in schema.__all__
    }
