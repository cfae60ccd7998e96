"""Pacing functions against their formulas."""

import itertools
import math

import numpy as np
import pytest

from effjax.curricula import pacing
from effjax.curricula.pacing import KINDS
from effjax.errors import UserError

START, FULL_AT, N = 0.3, 0.5, 1000

# Wu et al. 2021, table 2, with N examples and T = 1.
FORMULAS = {
    "linear": lambda t: N * START + N * (1 - START) * (t / FULL_AT),
    "quadratic": lambda t: N * START + N * (1 - START) * (t / FULL_AT) ** 2,
    "root": lambda t: N * START + N * (1 - START) * (t / FULL_AT) ** 0.5,
    "step": lambda t: N * START + N * math.floor(t / FULL_AT),
    "exponential": lambda t: N * START + N * (1 - START) * (math.exp(10 * t / FULL_AT) - 1) / (math.exp(10) - 1),
    "logarithmic": lambda t: N * START + N * (1 - START) * (1 + math.log(t / FULL_AT + math.exp(-10)) / 10),
}


@pytest.mark.parametrize("kind", KINDS)
def test_formula(kind):
    share = pacing(kind, start=START, full_at=FULL_AT)
    for t in np.linspace(0, FULL_AT, 21)[:-1]:
        assert N * share(t) == pytest.approx(FORMULAS[kind](t), abs=1e-9)
    assert share(FULL_AT) == share(1.0) == 1.0
    shares = [share(t) for t in np.linspace(0, 1, 101)]
    assert shares[0] == pytest.approx(START)
    assert all(a <= b <= 1.0 for a, b in itertools.pairwise(shares))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "liner"}, "did you mean 'linear'"),
        ({"kind": "root", "start": 0.0}, "pacing start=0.0 must be above 0 and at most 1"),
        ({"kind": "root", "full_at": 1.5}, "pacing full_at=1.5"),
        ({"kind": "root", "full_at": True}, "pacing full_at=True"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        pacing(**arguments)
