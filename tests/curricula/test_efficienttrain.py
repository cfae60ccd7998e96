"""EfficientTrain's plans against the published tables, and plans for a budget."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax.curricula import (
    Plan,
    compute_progress,
    efficienttrain,
    efficienttrain_plus,
    efficienttrain_replay,
    epochs_for_compute,
    for_budget,
    relative_cost,
    stages,
    warmups_for_compute,
)
from effjax.errors import UserError
from effjax.steps import make_schedule


def by_epoch(plans, epochs):
    """Size and magnitude of every epoch."""
    found = stages(epochs, plans)
    return [(stage["image_size"], stage["magnitude"]) for stage in found for _ in range(stage.num_steps)]


def test_first_version_at_300_epochs_is_the_published_table():
    table = [(160, 1), (160, 3), (160, 5), (192, 7), (224, 9)]
    assert by_epoch(efficienttrain(), 300) == [row for row in table for _ in range(60)]


@pytest.mark.parametrize("epochs", [100, 200, 400])
def test_other_lengths_keep_the_fifths(epochs):
    assert by_epoch(efficienttrain(), epochs)[:: epochs // 5] == [(160, 1), (160, 3), (160, 5), (192, 7), (224, 9)]


def published_epochs(sizes, budget=200):
    """The epochs at which the stages of ++ end, as its authors count them: whole epochs, rounded down."""
    ends, done = [], 0
    for index, size in enumerate(sizes):
        whole = int(budget * (224 * 224) / (size * size))  # a run of the budget's cost, all at this size
        done += int(whole / 10 * (index + 1)) - int(whole / 10 * index)
        ends.append(done)
    return ends


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("resnet", [96] * 2 + [160] * 4 + [224] * 4),
        ("swin", [96] * 2 + [160] * 4 + [224] * 4),
        ("deit", [96] * 2 + [160] * 4 + [192] * 2 + [224] * 2),
        ("convnext", [160] * 6 + [224] * 4),
    ],
)
def test_plus_at_a_budget_of_200_epochs_is_the_published_table(kind, sizes):
    image_size, magnitude = efficienttrain_plus(kind)
    epochs = epochs_for_compute(image_size, 200)
    starts = [start * epochs for start, _ in magnitude.pieces]
    assert [level for _, level in magnitude.pieces] == list(range(10))
    assert [image_size(start + 1e-9) for start, _ in magnitude.pieces] == sizes
    # The published scripts round each stage down to whole epochs, which ours need not.
    np.testing.assert_allclose([*starts[1:], epochs], published_epochs(sizes), atol=2)
    # Ten stages of equal compute.
    costs = [(b - a) * size**2 for a, b, size in zip(starts, [*starts[1:], epochs], sizes, strict=True)]
    np.testing.assert_allclose(costs, 20 * 224**2, rtol=1e-9)


def test_costs_by_hand():
    image_size, _ = efficienttrain()
    assert relative_cost(image_size) == pytest.approx(0.6 * (160 / 224) ** 2 + 0.2 * (192 / 224) ** 2 + 0.2)
    assert relative_cost(image_size, {160: 1.0, 192: 1.5, 224: 2.0}) == pytest.approx(0.6 * 0.5 + 0.2 * 0.75 + 0.2)
    assert relative_cost(Plan("image_size", [(0.0, 64)])) == 1.0
    assert epochs_for_compute(image_size, 65.3) == pytest.approx(100, rel=1e-3)
    with pytest.raises(UserError, match="no time of a step at 192 pixels"):
        relative_cost(image_size, {160: 1.0, 224: 2.0})


def test_other_sizes_keep_the_proportions():
    assert [size for _, size in efficienttrain(112)[0].pieces] == [80, 96, 112]
    assert [size for _, size in efficienttrain(28)[0].pieces] == [20, 24, 28]
    assert [size for _, size in efficienttrain(300, multiple_of=32)[0].pieces] == [224, 256, 300]
    assert [size for _, size in efficienttrain_plus(final_size=112)[0].pieces] == [48, 80, 112]
    with pytest.raises(UserError, match=r"multiple_of"):
        efficienttrain_plus(final_size=4)
    with pytest.raises(UserError, match=r"kind='resnets'.*did you mean 'resnet'"):
        efficienttrain_plus("resnets")


def test_compute_progress_is_piecewise_linear_in_the_steps():
    corners = compute_progress(efficienttrain_plus()[0])
    np.testing.assert_allclose([share for _, share in corners], [0, 0.2, 0.6, 1.0])
    assert compute_progress(Plan("image_size", [(0.0, 8)])) == ((0.0, 0.0), (1.0, 1.0))


def published_rate(epochs_done: float, size: int, budget: int = 200, warmup: int = 20) -> float:
    """What the authors' scripts train with at the beginning of an epoch of a stage, as a share of the peak.

    Each stage is a run of its own size, which goes on where the compute that is spent would have brought it to.
    """
    epochs = budget * (224 / size) ** 2
    if epochs_done < warmup:
        return epochs_done / warmup
    return 0.5 * (1 + math.cos(math.pi * (epochs_done - warmup) / (epochs - warmup)))


@pytest.mark.parametrize("kind", ["resnet", "deit", "convnext"])
def test_plus_has_a_cosine_and_a_warm_up_for_each_size(kind):
    plan, _ = efficienttrain_plus(kind)
    total = 100_000
    warmups, progress = warmups_for_compute(plan, 200, 20), compute_progress(plan)
    schedule = make_schedule("cosine", 1.0, total, warmups=warmups, progress=progress)
    ours = np.asarray(jax.vmap(schedule)(jnp.arange(0, total, 500)))
    spent = np.interp(np.arange(0, total, 500) / total, *zip(*progress, strict=True))
    theirs = [
        published_rate(share * 200 * (224 / plan(step / total)) ** 2, plan(step / total))
        for share, step in zip(spent, range(0, total, 500), strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    one = np.asarray(
        jax.vmap(make_schedule("cosine", 1.0, total, warmup=0.1, progress=progress))(jnp.arange(0, total, 500))
    )
    assert np.abs(one - theirs).max() > 0.3  # one warm-up for all is another schedule


def test_a_budget_is_met_with_measured_times():
    pixels = {size: size**2 for size in (160, 192, 224)}
    published, _ = efficienttrain()
    np.testing.assert_allclose(
        [start for start, _ in for_budget(relative_cost(published), pixels)[0].pieces], [0, 0.6, 0.8], atol=1e-12
    )
    overhead = {160: 3.0, 192: 3.6, 224: 4.0}  # a machine on which small images do not save as much
    plan, magnitude = for_budget(0.85, overhead)
    assert relative_cost(plan, overhead) == pytest.approx(0.85)
    assert magnitude == efficienttrain()[1]
    others, _ = for_budget(0.5, {64: 1.0, 80: 2.0, 100: 4.0}, final_size=100, multiple_of=16)
    assert [size for _, size in others.pieces] == [64, 80, 100]
    with pytest.raises(UserError, match=r"cost=0.3 cannot be met .*: 0.77 to 0.88"):
        for_budget(0.3, overhead)
    # The two larger sizes have between a twentieth and a third of the steps each: both ends can be met, nothing beyond.
    for share in (0.05, 1 / 3):
        cost = ((1 - 2 * share) * 3.0 + share * (3.6 + 4.0)) / 4.0
        starts = [start for start, _ in for_budget(cost, overhead)[0].pieces]
        np.testing.assert_allclose(starts, [0, 1 - 2 * share, 1 - share], atol=1e-12)
        with pytest.raises(UserError, match="cannot be met"):
            for_budget(cost + (1e-6 if share > 0.1 else -1e-6), overhead)
    with pytest.raises(UserError, match="no time of a step at 80 pixels"):
        for_budget(0.8, overhead, final_size=112)
    with pytest.raises(UserError, match="cannot be met"):
        for_budget(math.nan, overhead)


@pytest.mark.parametrize(
    ("kind", "times", "batches"),
    [
        ("resnet", [4] * 2 + [2] * 4 + [1] * 4, [1920] * 2 + [256] * 4 + [0] * 4),
        ("deit", [4] * 2 + [2] * 4 + [1] * 4, [1920] * 2 + [256] * 4 + [0] * 4),
        ("swin", [2] * 2 + [1] * 8, [1024] * 2 + [0] * 8),
    ],
)
def test_the_replay_buffers_are_those_of_the_published_scripts(kind, times, batches):
    plan, magnitude = efficienttrain_replay(kind), efficienttrain_plus(kind)[1]
    found = [plan(start + 1e-9) for start, _ in magnitude.pieces]
    assert found == [1 if often == 1 else (often, steps) for often, steps in zip(times, batches, strict=True)]
    with pytest.raises(UserError, match="kind='convnext'; allowed: deit, resnet, swin"):
        efficienttrain_replay("convnext")
