"""Every key of a config with every kind of value that it cannot have: one line that names it, or a run."""

import copy
import math
import re
from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import small_configs
from test_bad_input import SPLITS

from effjax.errors import Mistakes, UserError
from effjax.recipes import find_recipe, schema
from effjax.recipes.active.checks import loop_problems
from effjax.recipes.schema import experiment_keys
from effjax.recipes.schema.fields import keys_of
from effjax.recipes.schema.rules import Each, Either, Keys, Rule
from effjax.recipes.train.runs import TrainingExperiment

VALUES = (math.nan, math.inf, -math.inf, -1, 0, 1, 2**32, 10**30, 10**5000, 0.5, "", "no such thing", True, None)
VALUES += ([], [None], [0], [math.nan], {}, {"a": 1}, "\0", "a/b", "(")


def trained(data_dir) -> dict:
    """A config that says all there is to say of runs that are trained once; it can be run."""
    config = small_configs.plain()
    config.data.update(SPLITS, dir=str(data_dir))
    config.data.also.more = "digits"
    config.data.classes = (("few", tuple("012")), ("some", tuple("345")), ("many", tuple("6789")))
    config.eval_batch_size, config.table, config.claims = 16, ("student",), (("It is better", "distilled", "student"),)
    config.control, config.reference = "student", "teacher"
    reference, student = config.runs.teacher, config.runs.student
    reference.update(record=True)
    student.pacing = schema.paced("linear", by="epoch_learnt", run="teacher")
    student.optimizer = {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
    student.optimizer.update(clip_norm=1.0, decay_mask=".*/kernel")
    student.schedule.update(begin=0.1, warmup=0.1, end=0.01)
    student.terms.ce.label_smoothing = 0.1
    student.terms.self_paced = {"threshold": 1.0, "form": "hard", "weight": 0.1}
    student.plans.update(
        terms=((0.0, ("ce", "self_paced")), (0.5, ("ce",))), data=((0.0, "train"), (0.5, "train+more"))
    )
    student.plans.sparsity = ((0.0, 0.0), (0.2, "cubic 0.5"), (0.8, 0.5))
    student.pruning.update(scope="layer", every=2, dense="student/classifier/kernel")
    config.runs.distilled.terms.hard = {"kind": "dkd", "alpha": 1.0, "beta": 8.0, "temperature": 4.0}
    config.runs.distilled.optimizer.update(b1=0.9, b2=0.99, eps=1e-8)
    config.runs.folded = student.copy_and_resolve_references()
    config.runs.folded.update(folds=2, pacing={}, plans={}, label="folded")
    config.runs.ticket = student.copy_and_resolve_references()
    config.runs.ticket.update(pacing={}, rewind=schema.rewound("student", masks="student"))
    config.runs.ticket.plans.sparsity = ((0.0, 0.5),)
    config.runs.ticket.selection = schema.selection("learnability", run="folded", by="c_score", temperature=1.0)
    config.runs.ticket.plans.candidates = ((0.0, 2),)
    distilled = config.runs.distilled
    distilled.coreset = schema.coreset(0.5, by="epoch_learnt", run="teacher")
    distilled.weighting = schema.weighting("super_loss", threshold=1.0, regularization=1.0, momentum=0.9)
    distilled.selection = schema.selection("infobatch", dropped=0.5)
    distilled.plans.candidates = ((0.0, 2), (0.5, 1))
    found = config.to_dict()
    falling = {"name": "step", "peak": 1.0, "boundaries": (0.5,), "factor": 0.1}
    found["runs"]["student"]["terms"]["ce"]["weight"] = falling
    return found


def asked(data_dir) -> dict:
    """The same of labelling loops."""
    config = small_configs.active()
    config.data.dir = str(data_dir)
    config.runs.stream = config.runs.ensemble.copy_and_resolve_references()
    passing = schema.stream("randomised_threshold", 0.25, window=20, threshold=1.0, change=0.01, spread=1.0)
    config.runs.stream.query = schema.query(selector="stream", stream=passing)
    return config.to_dict()


def leaves(config: Mapping, path: str = "") -> Iterator[str]:
    """The paths of all keys, of mappings too."""
    for key, value in config.items():
        yield path + key
        if isinstance(value, Mapping):
            yield from leaves(value, f"{path}{key}.")


def changed(config: dict, path: str, value) -> dict:
    config = copy.deepcopy(config)
    *parents, last = path.split(".")
    part = config
    for name in parents:
        part = part[name]
    part[last] = value
    return config


def tried(config: dict, *more) -> Iterator[tuple[str, object]]:
    """Checks the config with each key set to each value; yields what is not refused."""
    for path in leaves(config):
        for value in VALUES:
            other = changed(config, path, value)
            try:
                schema.check(other, *more)
            except UserError as error:
                lines = error.lines if isinstance(error, Mistakes) else (str(error),)
                assert all("\n" not in line and len(line) < 600 for line in lines), (path, lines)
                named = ".".join(path.split(".")[:3])  # of a run, at least
                assert any(named in line or path.split(".")[-1] in line for line in lines), (path, value, lines)
            else:
                yield path, value


def nodes(node, path: str = "config") -> Iterator[tuple[str, object]]:
    if isinstance(node, Either):
        yield from nodes(node.rule, path)
        yield from nodes(node.keys, path)
    elif isinstance(node, Each):
        for key, one in node.known.items():
            yield from nodes(one, f"{path}.{key}")
        yield from nodes(node.node, f"{path}.*")
    elif isinstance(node, Keys):
        for key, one in node.nodes.items():
            yield from nodes(one, f"{path}.{key}")
    else:
        yield path, node


def test_no_rule_takes_what_is_no_number_and_none_fails():
    """Whatever a value is, a rule says yes or no."""
    for path, rule in nodes(keys_of(experiment_keys.Experiment)):
        assert isinstance(rule, Rule), path
        for value in (*VALUES, np.float64("nan"), object(), [[[]]], [(1, 2, 3)]):
            assert rule.fits(value) in (True, False), (path, value)
        for value in (math.nan, math.inf, -math.inf, None, 10**5000, [math.nan], [math.inf]):
            assert not rule.fits(value), (path, value)


ORDINARY = (1, 0.5, True)  # numbers that no one doubts: their place is the experiments' own tests
ANY_TEXT = ("title", "label", "claims", "table", "control", "reference", "recipe")  # nothing is built of them


def built(config: dict, workdir) -> list[str]:
    """Builds the experiment, in which nothing may fail but by a refusal; returns what is said."""
    try:
        TrainingExperiment(config, workdir)
    except Mistakes as error:
        return list(error.lines)
    except UserError as error:
        return [str(error)]
    return []


def test_what_is_refused_names_its_key_and_the_rest_can_be_built(data_dir, tmp_path):
    """Building draws and compiles nothing; one run has all that there is but for its teachers."""
    config = trained(data_dir)
    config["runs"] = {
        "student": {**config["runs"]["student"], "pacing": schema.paced("linear", order="random").to_dict()}
    }
    config.update(table=(), claims=(), control="", reference="")
    assert not built(config, tmp_path)
    failed = []
    for path, value in tried(config):
        if path.split(".")[-1] in ANY_TEXT or any(value is one for one in ORDINARY):
            continue
        try:
            said = built(changed(config, path, value), tmp_path)
        except Exception as error:
            failed.append(f"{path}={str(value)[:20]!r}: {type(error).__name__}: {str(error)[:100]}")
            continue
        if any("\n" in line or len(line) > 600 for line in said):
            failed.append(f"{path}={str(value)[:20]!r}: {said}")
    assert not failed, "\n".join(failed)


def test_what_teachers_and_folds_say(data_dir, tmp_path):
    """Of the other runs of the config, what the first has not got."""
    config = trained(data_dir)
    several = [path for path in leaves(config) if re.search("teachers|hard|folds|pacing|without|init", path)]
    for path, value in tried({**config, "runs": config["runs"]}):
        if path in several and value in ("no such thing", 0, "") and path.split(".")[-1] not in ANY_TEXT:
            yes = {"distilled": ("teacher", "distilled"), "folded": ("folded",), "student": ("teacher", "student")}
            runs = yes.get(path.split(".")[1])
            if runs is None:
                continue
            other = changed(config, path, value)
            other.update(table=(), claims=(), control="", reference="")
            other["runs"] = {name: other["runs"][name] for name in runs}
            said = built(other, tmp_path)
            assert all("\n" not in line for line in said)


def test_loops_refuse_what_they_cannot_use(data_dir):
    config = asked(data_dir)
    schema.check(config, loop_problems)
    passed = {path for path, _ in tried(config, loop_problems)}
    assert "runs.stream.query.stream.policy" not in passed
    assert "runs.stream.query.stream.window" in passed  # 1


def test_all_mistakes_are_said_at_once(data_dir, tmp_path):
    config = trained(data_dir)
    config["runs"]["student"].update(batch_size=0, keep=-1)
    config["runs"]["teacher"]["optimzer"] = {}
    config["view"]["std"] = [0.0]
    with pytest.raises(Mistakes) as caught:
        TrainingExperiment(config, tmp_path)
    view, batch, keep, key = caught.value.lines
    assert view == "config.view.std=(0.0,) must be a list of 1 or more numbers above 0"
    assert batch == "config.runs.student.batch_size=0 must be a whole number from 1 to 1,048,576"
    assert keep == "config.runs.student.keep=-1 must be a whole number from 1 to 2,147,483,647"
    assert key.startswith("config.runs.teacher.optimzer is not a key; ")
    assert "did you mean 'optimizer'?" in key
    config = trained(data_dir)  # each right by itself
    config["runs"]["student"]["optimizer"]["name"] = "sgdd"
    config["runs"]["teacher"]["model"]["name"] = "scn"
    config["runs"]["folded"]["terms"]["self_paced"]["form"] = "softer"
    with pytest.raises(Mistakes) as caught:
        TrainingExperiment(config, tmp_path)
    assert [line.split(":")[0] for line in caught.value.lines] == [
        f"config.runs.{n}" for n in ("teacher", "folded", "student", "distilled")
    ]


EXTREME = {
    "counts": dict.fromkeys(("keep", "log_every", "checkpoint_every", "steps_per_dispatch", "patience"), 2**31 - 1),
    "rates": {"optimizer": {"name": "adamw", "learning_rate": 1e9, "eps": 0.0, "b1": 0.0, "b2": 0.0, "clip_norm": 1e9}},
    "least": {"ema": 1e-30, "schedule": {"name": "cosine", "warmup": 0.999, "begin": 0.999}, "epochs": 0.0, "steps": 0},
}


@pytest.mark.parametrize("changes", EXTREME.values(), ids=EXTREME)
def test_what_is_at_the_edge_of_its_range_trains_or_is_refused(changes, data_dir, tmp_path):
    config = small_configs.plain()
    config.data.update(SPLITS, dir=str(data_dir))
    config = config.to_dict()
    config["eval_batch_size"] = 16
    config["runs"] = {"student": {**config["runs"]["student"], "steps": 2, "evaluations": 1, **changes}}
    said = ""
    try:
        (done,) = TrainingExperiment(config, tmp_path).train()
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert said or done.last.step > 0


def test_weights_that_do_not_fit_are_refused_before_another_run_is_trained(data_dir, tmp_path):
    config = small_configs.plain()
    config.data.update(SPLITS, dir=str(data_dir))
    config.eval_batch_size = 16
    config.runs.distilled.init = "shipped"
    with pytest.raises(UserError, match=r"config.runs.distilled: no foreign weights are known for the model 'mlp'"):
        TrainingExperiment(config.to_dict(), tmp_path / "workdir")


LATE = {
    "pacing.by": ({"runs.student.pacing.by": "epoch_learnd"}, "student.pacing.by='epoch_learnd'; .*'epoch_learnt'"),
    "not recorded": ({"runs.teacher.record": False}, "pacing.by='epoch_learnt': config.runs.teacher.record must be"),
    "no folds": ({"runs.student.pacing.by": "c_score"}, "'c_score': config.runs.teacher.folds=0 must be 2 or more"),
    "accumulate": ({"runs.student.accumulate": 5}, "student.accumulate=5 does not divide .*student.batch_size=16"),
    "claims": ({"claims": (("It is better", "student"),)}, "config.claims=.* must be a list of"),
    "seeds": ({"seed": 2**32 - 1, "num_seeds": 2}, "config.seed=4294967295, config.num_seeds=2.*below"),
    "folds' seeds": ({"seed": 2**31 - 1, "runs.folded.folds": 3}, "3 networks each in config.runs.folded: seeds must"),
    "cache": ({"teacher_cache": "{tmp}/file/cache", "runs.distilled.teachers.teacher.cached": "float16"},
              "config.teacher_cache=.*file/cache cannot be written: Not a directory"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), LATE.values(), ids=LATE)
def test_what_would_be_found_after_another_run_is_found_first(changes, said, data_dir, tmp_path):
    (tmp_path / "file").touch()
    config = trained(data_dir)
    for path, value in changes.items():
        value = value.replace("{tmp}", str(tmp_path)) if isinstance(value, str) else value
        config = changed(config, path, value)
    with pytest.raises(UserError, match=said):
        TrainingExperiment(config, tmp_path / "workdir")


@pytest.mark.parametrize("recipe", ["distill", "active"])
def test_results_that_cannot_be_written_are_refused_first(recipe, data_dir, tmp_path):
    config = trained(data_dir) if recipe == "distill" else asked(data_dir)
    (tmp_path / "file").touch()
    for path, said in (
        (tmp_path, f"--results={tmp_path} is a folder"),
        (tmp_path / "file" / "table.md", "file/table.md cannot be written: Not a directory"),
        (tmp_path / "table.png", "the table is a Markdown file"),
    ):
        with pytest.raises(UserError, match=said):
            find_recipe({"recipe": recipe})(config, tmp_path / "workdir", path)
    assert not list((tmp_path / "workdir").rglob("*"))


def test_a_name_that_no_run_has_is_refused_first(data_dir, tmp_path):
    with pytest.raises(UserError, match=r"--only: no run 'teachr'.*did you mean 'teacher'"):
        find_recipe({"recipe": "distill"})(trained(data_dir), tmp_path / "workdir", None, ["student", "teachr"])
    assert not list(tmp_path.rglob("checkpoints"))


def test_runs_that_are_not_asked_for_are_not_looked_at(data_dir, tmp_path):
    """Where experiments have many runs, as the published tables, one is not kept waiting for the others."""
    config = trained(data_dir)
    broken = config["runs"]["distilled"]
    broken["init"] = str(tmp_path / "nowhere")
    made = TrainingExperiment(config, tmp_path / "workdir", ["student"])
    assert list(made.runs) == made.names == ["teacher", "student"]  # it is paced by what the teacher learns
    with pytest.raises(UserError, match="no foreign weights are known"):
        TrainingExperiment(config, tmp_path / "workdir")
