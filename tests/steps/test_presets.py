"""Published objectives: their numbers, and that a run's terms can be made of them."""

import json
import pathlib

import pytest

from effjax.errors import UserError
from effjax.steps import TERMS, make_schedule, make_term
from effjax.steps.presets import published

#: Every number: what changes here is meant, and has its source in effjax/steps/presets.py, or is a defect.
NUMBERS = pathlib.Path(__file__).with_name("published.txt").read_text().splitlines()

METHODS = {
    "paper": ("kd", "hint", "attention", "relational", "dkd", "review", "dist", "nkd", "ctkd", "deit", "standardized"),
    "repdistiller": (
        "kd",
        "hint",
        "attention",
        "relational",
        "similarity",
        "contrastive",
        "pkt",
        "nst",
        "cc",
        "vid",
        "crd",
    ),
    "mdistiller": ("kd", "hint", "attention", "relational", "similarity", "contrastive", "review", "dkd"),
    "torchdistill": ("kd", "hint", "attention", "relational", "contrastive", "dist"),
}


@pytest.mark.parametrize("convention", METHODS)
def test_every_option_is_one_that_its_term_has(convention):
    for method in METHODS[convention]:
        for name, options in published(convention, method).items():
            assert name in TERMS
            assert set(options) <= set(TERMS[name].__kwdefaults__)


def test_numbers_as_published():
    assert published("repdistiller", "kd") == {
        "ce": {"weight": 0.1},
        "soft_target": {"weight": 0.9, "temperature": 4.0},
    }
    assert published("mdistiller", "kd") == published("repdistiller", "kd")
    assert published("torchdistill", "kd")["soft_target"] == {"weight": 0.5, "temperature": 1.0}
    assert published("repdistiller", "hint")["hint"] == {
        "weight": 100.0,
        "form": "mean",
        "regressor": "repdistiller",
    }
    assert published("repdistiller", "similarity")["similarity"]["weight"] == 3000.0
    assert published("repdistiller", "pkt")["pkt"] == {"weight": 30_000.0}
    assert published("repdistiller", "nst")["nst"] == {"weight": 50.0}
    assert published("paper", "standardized")["soft_target"] == {
        "weight": 9.0,
        "temperature": 2.0,
        "standardize": True,
    }
    assert published("paper", "dist")["dist"]["temperature"] == 4.0
    assert published("torchdistill", "dist")["dist"]["temperature"] == 1.0
    weights = [published(c, "relational")["relational_angle"]["weight"] for c in ("repdistiller", "torchdistill")]
    assert weights == [50.0, 2.0]


@pytest.mark.parametrize("line", NUMBERS)
def test_no_number_changes_unseen(line):
    (convention, method), terms = line.split(": ")[0].split(), line.split(": ", 1)[1]
    said = {
        name: ", ".join(f"{option} {json.dumps(value)}" for option, value in options.items())
        for name, options in published(convention, method).items()
    }
    assert "; ".join(f"{name}: {options}" for name, options in said.items()) == terms


def test_no_method_is_without_numbers():
    for convention in METHODS:
        with pytest.raises(UserError) as refused:
            published(convention, "?")
        listed = {line.split(":")[0].split()[1] for line in NUMBERS if line.startswith(f"{convention} ")}
        assert set(str(refused.value).split("allowed: ")[1].split(", ")) == listed


def test_fitnets_weighs_its_soft_targets_without_the_temperature():
    soft = published("paper", "hint")["soft_target"]
    weight = make_schedule(**soft["weight"], total_steps=100)
    squared = soft["temperature"] ** 2
    assert float(weight(0)) * squared == pytest.approx(4.0)
    assert float(weight(50)) * squared == pytest.approx(2.5, abs=0.05)
    assert float(weight(100)) * squared == pytest.approx(1.0, abs=0.05)


def test_dkd_warms_up_for_20_of_240_epochs():
    weight = make_schedule(**published("mdistiller", "dkd")["dkd"]["weight"], total_steps=240)
    assert float(weight(0)) == pytest.approx(0.0, abs=0.05)
    assert float(weight(10)) == pytest.approx(0.5, abs=0.05)
    assert float(weight(20)) == float(weight(239)) == pytest.approx(1.0)


@pytest.mark.parametrize("method", ["hint", "similarity", "attention", "nst", "vid", "review"])
def test_presets_that_need_a_tap_ask_for_it(method):
    options = published("mdistiller", method)[method] | {"weight": 1.0}
    with pytest.raises(UserError, match=rf"terms\.{method}: student_taps? .*(missing|must name)"):
        make_term(method, **options)


def test_what_is_returned_may_be_changed():
    published("paper", "hint")["soft_target"]["weight"]["peak"] = 7.0
    assert published("paper", "hint")["soft_target"]["weight"]["peak"] == 4.0 / 9.0


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match=r"convention 'repdistil'; allowed: .* \(did you mean 'repdistiller'\?\)"):
        published("repdistil", "kd")
    with pytest.raises(UserError, match=r"torchdistill has no method 'similarity'; allowed: attention, contrastive"):
        published("torchdistill", "similarity")
