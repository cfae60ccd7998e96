"""Lottery tickets: early parameters of one run, without what another has removed."""

import jax
import numpy as np
import pytest
from test_pruned_experiments import kernels, small, zeros

from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train.runs import TrainingExperiment
from effjax.runtime import checkpoints


def tickets(data_dir, step=4):
    """A run that is pruned to a half; a ticket of it; and one of that, pruned further."""
    config = small(data_dir, sparsity=((0.0, 0.0), (0.5, 0.5)))
    first = config.runs.run
    second = first.copy_and_resolve_references()
    second.plans.sparsity = ((0.0, 0.5), (0.5, 0.75))
    second.rewind = schema.rewound("run", step=step, masks="run")
    third = second.copy_and_resolve_references()
    third.plans.sparsity = ((0.0, 0.75),)
    third.rewind = schema.rewound("run", step=0, masks="second")
    config.runs.update(run=first, second=second, third=third)
    return config


def test_a_chain_of_runs_starts_early_and_keeps_removed_what_was(tmp_path, data_dir):
    config = tickets(data_dir)
    experiment = TrainingExperiment(config.to_dict(), tmp_path)
    assert experiment.names == ["run", "second", "third"]
    done = {one.name: one for one in experiment.train()}
    masks = {name: checkpoints.read_masks(one.last.folder / "checkpoints", 12) for name, one in done.items()}
    size = zeros(done["run"].variables()["params"])[1]
    kept = {name: sum(int(leaf.sum()) for leaf in jax.tree.leaves(tree)) for name, tree in masks.items()}
    assert kept == {"run": size // 2, "second": round(size / 4), "third": round(size / 4)}
    jax.tree.map(lambda new, old: np.testing.assert_array_equal(new & ~old, False), masks["second"], masks["run"])
    jax.tree.map(np.testing.assert_array_equal, masks["third"], masks["second"])
    facts = done["second"].last.identity["rewind"]
    assert set(facts) == {"params", "masks"}
    # Stopped and started again, everything is found done, or refused if the source has changed.
    again = {one.name: one for one in TrainingExperiment(config.to_dict(), tmp_path).train()}
    jax.tree.map(np.testing.assert_array_equal, again["third"].variables(), done["third"].variables())


def test_the_first_state_is_that_step_of_the_source_where_its_weights_are_kept(tmp_path, data_dir):
    config = tickets(data_dir)
    config.runs.second.optimizer.learning_rate = 0.0
    config.runs.second.plans.sparsity = ((0.0, 0.5),)
    config.runs.third.rewind.masks = "run"
    config.runs.third.plans.sparsity = ((0.0, 0.5),)
    config.runs.third.optimizer.learning_rate = 0.0
    experiment = TrainingExperiment(config.to_dict(), tmp_path)
    done = {one.name: one for one in experiment.train()}
    folder = done["run"].last.folder / "checkpoints"
    masks = kernels(checkpoints.read_masks(folder, 12))
    drawn = experiment.runs["run"].initial_state(0).params["student"]
    early = checkpoints.read_variables(folder, 4)["params"]
    for name, source in (("second", early), ("third", drawn)):
        found = kernels(TrainedRun.open(done[name].last.folder).variables()["params"])
        for path, leaf in kernels(source).items():
            np.testing.assert_array_equal(found[path], np.where(masks[path], leaf, 0))


MISTAKES = {
    "no run": (lambda c: c.runs.second.rewind.update(run="rnu"), r"second\.rewind\.run='rnu'; allowed: .*mean 'run'"),
    "no checkpoint": (lambda c: c.runs.second.rewind.update(step=5), r"rewind\.step=5: .* has 12 steps, .* every 2-th"),
    "not kept": (
        lambda c: c.runs.run.update(keep=2),
        r"second\.rewind\.step=4: config\.runs\.run\.keep=2 must be 5 or",
    ),
    "sparsity": (
        lambda c: c.runs.second.plans.update(sparsity=((0.0, 0.25),)),
        r"second\.rewind\.masks='run' ends at a sparsity of 0\.5: let plans\.sparsity begin with it",
    ),
    "scope": (
        lambda c: c.runs.second.pruning.update(scope="erk"),
        r"pruning\.scope must be the same, 'global', not 'e",
    ),
    "model": (
        lambda c: c.runs.second.model.update(widths=(9,)),
        r"rewind\.run='run': config\.runs\.run\.model must be",
    ),
    "seeds": (lambda c: c.update(num_seeds=2) or c.runs.run.update(num_seeds=1), r"has more seeds, 2, than it"),
    "together": (lambda c: c.update(num_seeds=2, seeds_together=True), r"second\.rewind: networks that train together"),
    "folds": (lambda c: c.runs.second.update(folds=2), r"second\.rewind: networks that train together have none"),
    "several": (lambda c: c.runs.run.update(folds=2), r"rewind\.run='run': it is several networks in one program"),
    "init": (lambda c: c.runs.second.update(init="shipped"), r"init='shipped': a run starts from one of them"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_is_said_before_anything_is_trained(tmp_path, data_dir, name):
    change, said = MISTAKES[name]
    config = tickets(data_dir)
    change(config)
    with pytest.raises(UserError, match=said):
        TrainingExperiment(config.to_dict(), tmp_path)
    assert not list(tmp_path.iterdir())
