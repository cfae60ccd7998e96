"""What is best, when nothing gets better, and where the time went."""

import pytest

from effjax.curricula import stages
from effjax.runtime.best import Best
from effjax.runtime.clock import Clock, describe_cost, describe_stage
from effjax.steps import Together


def test_one_network():
    best = Best(None, 0)
    assert best.value is None
    assert best.notes() is None
    assert best.update(10, 0.5).tolist() == [True]
    assert best.update(20, 0.5).tolist() == [False]  # the first of equals
    assert best.update(30, 0.6).tolist() == [True]
    assert best.notes() == {"step": 30, "value": 0.6}
    assert not best.all_stopped(10**9)  # without patience never
    assert Best(None, 0, best.notes()).update(40, 0.55).tolist() == [False]


def test_each_member_stops_by_itself():
    best = Best(Together(2, "ensemble"), patience=20)
    best.update(10, [0.5, 0.5])
    best.update(20, [0.4, 0.6])
    assert not best.all_stopped(20)
    assert best.update(30, [0.6, 0.5]).tolist() == [True, False]  # just within its patience
    best = Best(Together(2, "ensemble"), 20, best.notes())  # as an interrupted run has it
    best.update(40, [0.1, 0.1])
    assert best.steps == [30, 20]
    assert not best.all_stopped(40)
    assert best.update(50, [0.9, 0.9]).tolist() == [True, False]  # the second has stopped: too late for it
    assert best.update(60, [0.1, 0.1]).tolist() == [False, False]
    assert best.all_stopped(70)
    assert best.notes() == {"step": [50, 20], "value": [0.9, 0.6]}
    assert best.value == pytest.approx(0.75)


def make_clock(notes=None):
    time = [0.0]
    return time, Clock(2, notes, now=lambda: time[0])


def test_seconds_go_to_their_stage_and_the_loader_is_told_apart():
    time, clock = make_clock()

    def blocks():
        for _ in range(3):
            time[0] += 0.5
            yield None

    clock.start()
    for _ in clock.loading(blocks(), 0):
        time[0] += 2.0
        clock.steps(0, 4)
    clock.stop(0)
    clock.mark(12)
    time[0] += 100.0  # nobody counts
    clock.stop(0)
    assert clock.stages == [[7.5, 1.5, 12], [0.0, 0.0, 0]]
    assert clock.at == [[12, 7.5]]
    said = describe_stage(clock, 0, batch_size=10)
    assert said == "16 images/s, 625.00 ms a step; the device waited for the loader (20% of the time)"
    time, resumed = make_clock(clock.notes())
    resumed.start()
    time[0] += 1.0
    resumed.stop(1)
    assert resumed.seconds == 8.5


def test_cost_is_predicted_and_measured():
    _, clock = make_clock({"stages": [[30.0, 0.0, 60], [40.0, 0.0, 40]], "at": []})
    # 60 steps of half a second, 40 of a whole one: 0.7 of a hundred whole ones; by pixels 0.6 · ¼ + 0.4.
    assert describe_cost(clock, stages(100, {"image_size": [[0, 8], [0.6, 16]]})) == (
        "cost 0.70 of a run at full size throughout; by the number of pixels 0.55"
    )
