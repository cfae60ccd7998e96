"""How long runs are, and where their stages may begin."""

import pytest

from effjax.curricula import stages
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.planning import lengths, scheduled_options


def given(**keys):
    run = schema.run(**keys)
    run.plans.terms = ((0.0, ("ce",)), (0.37, ("ce", "soft_target")))
    return run.to_dict()


@pytest.mark.parametrize("steps", [640, 960, 2440, 25600, 30, 7])
@pytest.mark.parametrize("evaluations", [1, 5, 10])
def test_a_length_in_steps_is_kept(steps, evaluations):
    config = given(steps=steps, evaluations=evaluations)
    total, every, granule = lengths(config, 1000)
    assert total == steps
    assert every == max(steps // evaluations, 1)
    assert total % granule == every % granule == 0
    assert granule <= 32
    switch = stages(total, config["plans"], multiple_of=granule)[1].start
    assert abs(switch - 0.37 * steps) <= granule / 2


def test_stages_begin_between_blocks():
    assert lengths(given(steps=640, evaluations=10), 1000) == (640, 64, 16)
    assert lengths(given(steps=650, evaluations=10), 1000) == (650, 65, 1)
    assert lengths({**given(steps=640, evaluations=10), "plans": {}}, 1000) == (640, 64, 64)  # no stage: one dispatch


@pytest.mark.parametrize("epochs", [0.5, 3, 11.3, 200])
def test_a_length_in_epochs_is_rounded_to_whole_evaluations(epochs):
    total, every, granule = lengths(given(epochs=epochs, evaluations=10, batch_size=32), 1836)
    assert total == 10 * every
    assert every % granule == 0
    exact = epochs * 1836 / 32
    assert abs(total - exact) <= max(5 * granule, 5)
    assert granule <= max(exact / 40, 1)


def test_options_of_a_term_may_be_schedules():
    """A term of one's own may have any options, of which the keys of configs say nothing."""
    given = {"strength": {"name": "linear", "peak": 4, "end": 1.0}, "form": "hard", "weight": 2.0}
    made = scheduled_options("mine", given, 100)
    assert [float(made["strength"](step)) for step in (0, 50, 100)] == [4, 2.5, 1]
    assert {name: made[name] for name in ("form", "weight")} == {"form": "hard", "weight": 2.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (3, r"terms\.mine=3 must be a mapping of its options"),
        ({"strength": {"peak": 1.0}}, r"terms\.mine\.strength\.name is missing"),
        ({"strength": {"name": "linear"}}, r"terms\.mine\.strength\.peak is missing"),
        ({"strength": {"name": "linear", "peak": "4"}}, r"terms\.mine\.strength\.peak='4' must be a number"),
        ({"strength": {"name": "linear", "peak": True}}, r"terms\.mine\.strength\.peak=True must be a number"),
    ],
)
def test_what_is_no_schedule_of_an_option_is_named(options, said):
    with pytest.raises(UserError, match=said):
        scheduled_options("mine", options, 100)
