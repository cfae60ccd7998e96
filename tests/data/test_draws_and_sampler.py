import numpy as np
import pytest

from effjax.data import draws
from effjax.data.sampler import Sampler
from effjax.errors import UserError


def test_draws_are_pinned():
    # The raw Philox stream as numpy's own Generator reads it: 53 high bits of each word.
    expected = np.random.Generator(np.random.Philox(key=np.array([7, 3], np.uint64))).random(5)
    np.testing.assert_array_equal(draws.uniforms((7, 3), 5), expected)
    # Epoch orders must not change with a numpy release: runs would not continue with the same bits.
    assert draws.permutation((0, 0), 8).tolist() == [0, 2, 1, 5, 4, 3, 6, 7]


def test_permutation_is_uniform():
    orders = np.array([draws.permutation((1, epoch), 4) for epoch in range(6000)])
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert np.abs(counts - 250).max() < 5 * np.sqrt(250)


@pytest.mark.parametrize(("num_examples", "batch_size"), [(10, 3), (10, 10), (3, 8), (7, 1), (1, 4), (64, 16)])
def test_every_epoch_visits_every_example_once(num_examples, batch_size):
    sampler = Sampler(num_examples, batch_size, seed=5)
    steps = 3 * num_examples
    stream = np.concatenate([sampler.rows(step) for step in range(steps)])
    epochs = stream[: len(stream) // num_examples * num_examples].reshape(-1, num_examples)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(num_examples), (len(epochs), 1)))
    assert sampler.rows(0).dtype == np.int64
    assert sampler.rows(0).shape == (batch_size,)


def test_stream_does_not_depend_on_the_batch_size():
    by_three = np.concatenate([Sampler(10, 3, seed=2).rows(step) for step in range(20)])
    by_twenty = np.concatenate([Sampler(10, 20, seed=2).rows(step) for step in range(3)])
    np.testing.assert_array_equal(by_three, by_twenty)


def test_rows_depend_on_seed_and_step_only():
    first = Sampler(1000, 64, seed=1)
    late = first.rows(500)
    for step in (0, 3, 499, 501):
        first.rows(step)
    np.testing.assert_array_equal(first.rows(500), late)
    np.testing.assert_array_equal(Sampler(1000, 64, seed=1).rows(500), late)
    assert not np.array_equal(Sampler(1000, 64, seed=2).rows(500), late)
    assert not np.array_equal(first.rows(0), first.rows(1000))  # same place in another epoch


def test_changing_a_batch_changes_no_later_batch():
    sampler = Sampler(10, 10, seed=0)
    rows = sampler.rows(0)
    before = rows.copy()
    rows[:] = -1
    np.testing.assert_array_equal(sampler.rows(0), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 4, 0), "no examples"), ((4, 0, 0), "batch_size is 0"), ((4, 2, -1), "seed is -1")],
)
def test_impossible_samplers_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Sampler(*arguments)
