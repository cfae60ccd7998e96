"""What a labelling loop can be made of: outliers left out, streams, candidates, warm starts, and when it ends."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from small_loops import COUNT, entries, loops

from effjax import selection
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active import loop as labelling
from effjax.recipes.active.folder import LEDGER_FILE, LoopFolder
from effjax.recipes.active.streaming import Stream
from effjax.tasks import CLASSIFICATION, TASKS
from effjax.tasks.answers import ClassAnswers

POOL = 200


def small(data_dir, **runs):
    config = loops(data_dir, **runs)
    config.data.train = f"train[:{POOL}]"
    return config


def run(config, workdir):
    """Runs the loops without their report; what their rounds measured."""
    experiment = active.ActiveExperiment(config.to_dict(), workdir)
    found = {}
    for together in experiment.loops():
        labelling.run_loops(together)
        found[together[0].rounds.name] = together[0].test()
    return found


def asked(folder) -> list[list[int]]:
    rounds: dict[int, list[int]] = {}
    for line in entries(folder)[1:]:
        if line["event"] == "asked":
            rounds.setdefault(line["round"], []).append(line["id"])
    return list(rounds.values())


@pytest.fixture(scope="module")
def outliers(tmp_path_factory, data_dir):
    """A loop without outliers by a guessed map, one by the map of all labels, and the run that has made that map."""
    share = ((0, 0.0), (0.5, 0.5))  # from the second of three rounds on
    config = small(
        data_dir,
        guessed=schema.query(outliers=schema.outliers(share)),
        known=schema.query(outliers=schema.outliers(share, source="labels", run="everything")),
        everything={},
    )
    config.runs.guessed.record = config.runs.everything.record = True
    config.runs.everything.steps = 0
    config.runs.everything.epochs = 2.0
    workdir = tmp_path_factory.mktemp("outliers")
    return workdir, run(config, workdir)


def test_a_run_without_a_query_has_all_labels(outliers):
    workdir, found = outliers
    assert [round_["labels"] for round_ in found["everything"]] == [POOL]
    with np.load(workdir / "everything" / "seed_0" / "round_00" / "map.npz") as mapped:
        assert sorted(mapped["id"].tolist()) == list(range(POOL))
        assert np.isfinite(mapped["confidence"]).all()


@pytest.mark.parametrize("name", ["guessed", "known"])
def test_outliers_are_left_out_by_plan(outliers, name):
    workdir, _ = outliers
    folder = workdir / name / "seed_0"
    first, second, third = (folder / f"round_0{i}" / "removed.json" for i in range(3))
    assert not first.exists()
    assert not second.exists()  # progress 1/3 lies before 0.5
    removed = json.loads(third.read_text())
    assert (removed["share"], removed["by"]) == (0.5, "correctness")
    assert not set(removed["ids"]) & set(asked(folder)[2])
    if name == "known":
        with np.load(workdir / "everything" / "seed_0" / "round_00" / "map.npz") as mapped:
            ranked = mapped["id"][np.lexsort((mapped["confidence"], mapped["correctness"]))][: POOL // 2]
        assert set(removed["ids"]) == set(ranked.tolist()) - {i for ids in asked(folder)[:2] for i in ids}
    else:
        assert len(removed["ids"]) == (POOL - 2 * COUNT) // 2


def test_what_was_asked_is_noted_with_its_nearest_labelled_neighbour(outliers):
    workdir, _ = outliers
    folder = workdir / "guessed" / "seed_0"
    noted = json.loads((folder / "round_02" / "queries.json").read_text())
    rounds = asked(folder)
    assert [query["id"] for query in noted] == rounds[2]
    assert {query["nearest"] for query in noted} <= {*rounds[0], *rounds[1]}
    assert all(query["distance"] > 0 for query in noted)
    scores = {line["id"]: line["score"] for line in entries(folder)[1:] if line.get("round") == 2 and "score" in line}
    assert [query["score"] for query in noted] == [scores[query["id"]] for query in noted]


def test_the_test_split_is_compared_after_all_rounds(outliers):
    workdir, found = outliers
    for round_ in found["guessed"]:
        folder = workdir / "guessed" / "seed_0" / f"round_{round_['round']:02d}"
        probs = np.load(folder / "test_probs.npy")
        assert probs.shape == (1000, 10)
        assert "test/accuracy" not in json.loads((folder / "result.json").read_text())
        assert json.loads((folder / "test.json").read_text())["test/accuracy"] == round_["test/accuracy"]


def test_a_stream_passes_by_once_and_keeps_its_budget(tmp_path, data_dir):
    policy = schema.stream("variable_threshold", 0.25, window=20, threshold=1.0)
    config = small(data_dir, stream=schema.query(selector="stream", stream=policy))
    config.active.rounds = 20
    found = run(config, tmp_path)["stream"]
    folder = tmp_path / "stream" / "seed_0"
    order = Stream(policy, 0, [np.arange(POOL)]).order.tolist()
    ids = [id_ for round_ in asked(folder) for id_ in round_]
    assert ids[:COUNT] == order[:COUNT]
    assert [order.index(id_) for id_ in ids] == sorted(order.index(id_) for id_ in ids)  # none comes back
    assert COUNT < found[-1]["labels"] <= COUNT + 0.25 * (POOL - COUNT + 20) + POOL / 40 + 1
    # From any round the same queries follow.
    again = tmp_path / "again"
    text = (folder / LEDGER_FILE).read_text().splitlines(keepends=True)
    (again / "stream" / "seed_0").mkdir(parents=True)
    for name in ("round_00", "round_01"):
        (folder / name).rename(again / "stream" / "seed_0" / name)
    kept = 1 + 2 * (COUNT + len(asked(folder)[1]))
    (again / "stream" / "seed_0" / LEDGER_FILE).write_text("".join(text[:kept]))
    assert run(config, again)["stream"] == found
    assert asked(again / "stream" / "seed_0") == asked(folder)


def test_a_stream_goes_on_where_its_pool_grows_and_passes_over_what_is_gone(tmp_path):
    policy = schema.stream("fixed_threshold", 0.5, threshold=0.5)
    alone = Stream(policy, 0, [np.arange(10)])
    gone = alone.order[[1, 4]]
    grown = Stream(policy, 0, [np.arange(10), np.arange(10, 16)], gone)
    assert grown.order[:10].tolist() == alone.order.tolist()
    assert sorted(grown.order[10:]) == list(range(10, 16))
    passed = []

    def scores_of(ids):
        passed.extend(ids.tolist())
        return np.full(len(ids), 9.0)

    folder = LoopFolder(tmp_path)
    first, _ = grown.next_round(0, folder, None, 3)
    assert first == alone.order[[0, 2, 3]].tolist()
    for round_ in range(1, 9):
        grown.next_round(round_, folder, scores_of, 2)
    assert passed == [id_ for id_ in grown.order.tolist() if id_ not in (*first, *gone)]


def test_seeds_together_ask_for_what_each_would_ask_alone(tmp_path, data_dir):
    config = small(data_dir, a=schema.query(), b=schema.query(selector="random"))
    config.num_seeds, config.seeds_together = 2, True
    together = active.main(config.to_dict(), tmp_path / "together")
    config.seeds_together = False
    config.seed, config.num_seeds = 1, 1
    alone = active.main(config.to_dict(), tmp_path / "alone")
    for name in ("a", "b"):
        assert asked(tmp_path / "together" / name / "seed_1") == asked(tmp_path / "alone" / name / "seed_1")
        assert asked(tmp_path / "together" / name / "seed_0") != asked(tmp_path / "together" / name / "seed_1")
        for ours, theirs in zip(together[name]["seeds"][1]["rounds"], alone[name]["seeds"][0]["rounds"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    # One has asked, the other has not: both go on as if nothing had happened.
    folder = tmp_path / "together" / "a" / "seed_0"
    text = (folder / LEDGER_FILE).read_text().splitlines(keepends=True)
    (folder / LEDGER_FILE).write_text("".join(text[: 1 + 4 * COUNT]))
    for part in ("seed_0", "seed_1", "together"):
        shutil.rmtree(tmp_path / "together" / "a" / part / "round_02")
    config.seed, config.num_seeds, config.seeds_together = 0, 2, True
    assert active.main(config.to_dict(), tmp_path / "together") == together


def test_candidates_bound_what_a_selector_sees(tmp_path, data_dir):
    queries = {
        "few": schema.query(selector="k_center_greedy", candidates=COUNT),
        "top": schema.query(selector="top_k"),
    }
    config = small(data_dir, **queries)
    config.active.rounds = 2
    run(config, tmp_path)
    few, top = (asked(tmp_path / name / "seed_0")[1] for name in queries)
    assert set(few) == set(top)  # of as many candidates as are asked for, all are chosen


def test_warm_starts_go_on_from_the_round_before(tmp_path, data_dir):
    config = small(data_dir, a=schema.query(selector="random"))
    config.active.rounds, config.runs.a.optimizer.learning_rate = 2, 0.0
    config.runs.a.optimizer = {"name": "sgd", "learning_rate": 0.0}
    config.active.start = "warm"
    rounds = run(config, tmp_path)["a"]
    assert rounds[0]["validation/nll"] == pytest.approx(rounds[1]["validation/nll"])  # nothing was learnt since


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({"budget": 25.0}, [10, 20, 25]),
        ({"budget": 25.0, "cost_per_label": 2.0}, [10, 12]),
        ({"target": 0.01}, [10]),
        ({"patience": 1}, None),
    ],
)
def test_when_it_ends(tmp_path, data_dir, settings, labels):
    config = small(data_dir, a=schema.query(selector="random"))
    config.active.update(rounds=6, **settings)
    if "patience" in settings:
        config.runs.a.optimizer = {"name": "sgd", "learning_rate": 0.0}
        config.active.start = "warm"
        labels = [10, 20]
    rounds = run(config, tmp_path)["a"]
    assert [round_["labels"] for round_ in rounds] == labels
    assert [round_["cost"] for round_ in rounds] == [n * settings.get("cost_per_label", 1.0) for n in labels]


class Dear(ClassAnswers):
    """Sevens take six seconds each; of the others nobody knows."""

    def cost(self, answer):
        return 6.0 if answer == 7 else None


def test_a_budget_counts_what_answers_say_that_they_cost(tmp_path, data_dir, monkeypatch):
    dear = dataclasses.replace(CLASSIFICATION, answers=Dear)
    monkeypatch.setitem(TASKS, "classification", dear)
    config = small(data_dir, a=schema.query(selector="random"))
    config.active.update(rounds=9, budget=70.0, cost_per_label=2.0)
    rounds = run(config, tmp_path)["a"]
    said = entries(tmp_path / "a" / "seed_0")[1:]
    sevens = [[e["cost"] for e in said if e.get("label") == 7 and e["round"] <= r["round"]] for r in rounds]
    assert sevens[-1]
    assert set(sevens[-1]) == {6.0}
    assert not any("cost" in e for e in said if e.get("label") != 7)
    assert [r["cost"] for r in rounds] == [
        2.0 * (r["labels"] - len(c)) + sum(c) for r, c in zip(rounds, sevens, strict=True)
    ]
    assert (
        rounds[-2]["cost"] + 2 <= 70 < rounds[-1]["cost"] + 2
    )  # as much as it pays for, by what is expected of an answer


def test_more_rounds_may_follow_later(tmp_path, data_dir):
    config = small(data_dir, a=schema.query(selector="random"))
    config.active.rounds = 2
    first = run(config, tmp_path)["a"]
    config.active.rounds = 3
    assert run(config, tmp_path)["a"][:2] == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q: q.update(selector="stream"), "query.selector='stream'.*go together"),
        (lambda q: q.update(stream=schema.stream("quantile", 0.1), selector="stream"), "policy='quantile'"),
        (
            lambda q: q.update(stream=schema.stream("fixed_threshold", 0.1, thresh=1.0), selector="stream"),
            "thresh is no option",
        ),
        (lambda q: q.update(stream=schema.stream("variable_threshold", 2.0), selector="stream"), "budget=2.0"),
        (
            lambda q: q.update(outliers=schema.outliers(((0, 1.0),))),
            r"outliers.share=\(\(0, 1.0\),\) must be a list of .* 0 to below 1",
        ),
        (lambda q: q.update(outliers=schema.outliers(((0.5, 0.1),))), "share: .*must start at 0"),
        (lambda q: q.update(outliers=schema.outliers(((0, 0.1),), by="corectness")), "did you mean 'correctness'"),
        (lambda q: q.update(outliers=schema.outliers(((0, 0.1),))), "a.record must be True"),
        (lambda q: q.update(outliers=schema.outliers(((0, 0.1),), source="labels")), "source='labels'.*run=''"),
        (
            lambda q: q.update(outliers=schema.outliers(((0, 0.1),), source="labels", run="b")),
            "outliers.run='b'; allowed: a",
        ),
        (
            lambda q: q.update(outliers=schema.outliers(((0, 0.1),), source="labels", run="a")),
            "teach one another in a circle|must be a run without a query",
        ),
    ],
)
def test_queries_that_do_not_fit_together_are_refused(tmp_path, data_dir, change, message):
    config = small(data_dir, a=schema.query())
    change(config.runs.a.query)
    with pytest.raises(UserError, match=message):
        active.main(config.to_dict(), tmp_path)


def test_too_many_outliers_are_refused(tmp_path, data_dir):
    config = small(data_dir, a=schema.query(outliers=schema.outliers(((0, 0.97),))))
    config.runs.a.record = True
    with pytest.raises(UserError, match=r"outliers.share=0.97: \d examples are left, 10 are to be asked for"):
        active.main(config.to_dict(), tmp_path)


def test_the_map_that_was_recorded_is_the_one_of_the_round(outliers):
    workdir, found = outliers
    with np.load(workdir / "guessed" / "seed_0" / "round_01" / "map.npz") as mapped:
        assert set(mapped.files) == {"id", "label", *selection.DatasetMap._fields}
        assert len(mapped["id"]) == found["guessed"][1]["labels"]
