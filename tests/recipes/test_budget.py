"""How long a curriculum's sizes are trained for a budget, of steps that were timed."""

from types import SimpleNamespace

import pytest

from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.train import budget
from effjax.recipes.train.runs import TrainingExperiment


def config(data_dir, **runs):
    made = schema.experiment()
    made.data.dir, made.eval_batch_size = str(data_dir), 100
    made.data.update(train="train[:40]", validation="validation[:100]", test="test[:100]")
    for name, model in runs.items():
        made.runs[name] = schema.run(model=model, batch_size=4, steps=8, evaluations=1)
    return made.to_dict()


def test_the_plan_costs_what_was_asked_for(tmp_path, data_dir, monkeypatch):
    told = config(data_dir, student={"name": "resnet8", "width": 0.125})
    seen = []

    def step_seconds(experiment, run, sizes):
        seen.append((run, sizes))
        return {size: float(size**2) for size in sizes}

    monkeypatch.setattr(budget, "step_seconds", step_seconds)
    found = budget.plan_for_budget(told, tmp_path, "student", 0.65)
    assert seen == [("student", [20, 24, 28])]
    assert found["seconds"] == {20: 400.0, 24: 576.0, 28: 784.0}
    assert found["cost"] == pytest.approx(0.65)
    pieces = found["plans"]["image_size"]
    assert [size for _, size in pieces] == [20, 24, 28]
    ends = [*(start for start, _ in pieces[1:]), 1.0]
    shares = [end - start for (start, _), end in zip(pieces, ends, strict=True)]
    assert sum(share * size**2 for share, (_, size) in zip(shares, pieces, strict=True)) == pytest.approx(0.65 * 784)
    assert set(found["plans"]) == {"image_size", "magnitude"}
    with pytest.raises(UserError, match=r"run='studnet'; .*did you mean 'student'"):
        budget.plan_for_budget(told, tmp_path, "studnet", 0.65)


def test_steps_are_timed_at_every_size(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(budget, "_BLOCKS", 2)
    told = config(data_dir, student={"name": "resnet8", "width": 0.125})
    experiment = TrainingExperiment(told, tmp_path, ["student"])
    seconds = budget.step_seconds(experiment, "student", [20])
    assert seconds.keys() == {20}
    assert 0 < seconds[20] < 60
    taught = SimpleNamespace(runs={"student": SimpleNamespace(frozen={"teacher": None})})
    with pytest.raises(UserError, match=r"config\.runs\.student\.teachers: only the cost of the student depends"):
        budget.step_seconds(taught, "student", [20])
