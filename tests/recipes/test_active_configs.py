"""The experiments of active learning in their tiny form: loops, report, table."""

import importlib

import pytest

from effjax.data.ledger import Ledger
from effjax.data.prepare import prepare
from effjax.data.sources import load
from effjax.errors import UserError
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


def test_questions_are_asked_by_every_kind_of_loop(tmp_path, data_dir):
    from configs.active import digit_questions

    config = digit_questions.get_config("tiny")
    config.data.dir = str(data_dir)
    prepare(config.data.name, data_dir)
    kept = ("random", "epig", "entropy_told_discounted", "random_told")
    config.runs = {run: config.runs[run] for run in kept}
    config.table = kept
    config.claims = tuple(claim for claim in config.claims if set(claim[1:]) <= set(kept))
    summary = active.main(config.to_dict(), tmp_path, tmp_path / "table.md")
    text = (tmp_path / "table.md").read_text()
    assert "acc. of learnable" in text
    assert "external or underspecified or unreadable or multi_hop" in text
    assert "by round" in text
    last = summary["epig"]["seeds"][1]["rounds"][-1]
    assert {f"{split}/accuracy/kind/learnable" for split in ("validation", "test")} <= set(last)
    # The annotator says that there is no answer where there is none, and nowhere else; the others never do.
    source = load(config.data.name, "train", data_dir)
    kinds, unanswerable = source.column("kind"), len(source.info.class_names) - 1
    for name, seed in ((name, seed) for name in kept for seed in (0, 1)):
        labels = Ledger(tmp_path / name / f"seed_{seed}" / "ledger.jsonl").labels()
        told = [id_ for id_, label in labels.items() if label == unanswerable]
        assert told == [id_ for id_ in labels if kinds[id_] and name.endswith(("told", "discounted"))]
    # Both loops of random choice are one loop but for what they are told.
    first, second = (
        set(Ledger(tmp_path / name / "seed_0" / "ledger.jsonl").labels()) for name in ("random", "random_told")
    )
    assert first == second


@pytest.mark.parametrize("variant", ["", "unlearnable_0", "unlearnable_15", "unlearnable_45", "tiny"])
def test_every_way_to_choose_questions_is_beside_random_from_the_same_pool(variant):
    from configs.active import digit_questions

    config = digit_questions.get_config(variant).to_dict()
    schema.check(config, loop_problems)
    for _, name, control in config["claims"]:
        one, other = (config["runs"][run]["query"] for run in (name, control))
        assert (one["outliers"], one["annotator"]) == (other["outliers"], other["annotator"])
        assert other["selector"] == "random"


def test_vqa_2_is_a_config_of_both_kinds():
    from configs.active import vqa2

    for variant in ("", "stored"):
        schema.check(vqa2.get_config(variant).to_dict(), loop_problems)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"score": "epig"}, "score='epig' compares several predictions"),
        ({"score": "epig", "predictions": "dropout", "selector": "badge"}, "selector='badge' does not go with it"),
        (
            {"discount": "cannot be answered", "selector": "badge"},
            "discount='cannot be answered'.*'badge' does not ask",
        ),
        ({"discount": "cannot be answred"}, "digit_questions/unlearnable_30 has no such class.*'cannot be answered'"),
        ({"annotator": "answred"}, "annotator='answred': no feature like a label; .*'answered'"),
    ],
)
def test_queries_that_cannot_be_are_refused(query, message, tmp_path, data_dir):
    from configs.active import digit_questions

    config = digit_questions.get_config("tiny")
    config.data.dir = str(data_dir)
    prepare(config.data.name, data_dir)
    config.runs = {"random": config.runs.random, "other": config.runs.entropy}
    config.table, config.claims = (), ()
    config.runs.other.query = schema.query(**query)
    with pytest.raises(UserError, match=message):
        active.main(config.to_dict(), tmp_path)


def test_a_network_that_knows_too_few_words_is_refused(tmp_path, data_dir):
    from configs.active import digit_questions

    config = digit_questions.get_config("tiny")
    config.data.dir = str(data_dir)
    prepare(config.data.name, data_dir)
    config.runs = {"random": config.runs.random}
    config.table, config.claims = (), ()
    config.runs.random.model.words = 62
    message = r"random\.model\.words=62: the questions of .* have 63 words; allowed: 63 or more"
    with pytest.raises(UserError, match=message):
        active.main(config.to_dict(), tmp_path)
