"""Scores against what other libraries say of the same predictions."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from effjax import uncertainty
from effjax.errors import UserError

# Three members, six examples, four classes; of the first example all members are sure.
PROBS = np.array(
    [
        [[1, 0, 0, 0], [9, 31, 39, 21], [69, 5, 0, 26], [27, 36, 36, 1], [23, 19, 28, 30], [14, 5, 1, 80]],
        [[0, 1, 0, 0], [54, 3, 30, 13], [33, 15, 20, 32], [41, 16, 10, 33], [0, 32, 0, 68], [1, 57, 8, 34]],
        [[1, 0, 0, 0], [24, 2, 72, 2], [54, 1, 12, 33], [2, 23, 69, 6], [78, 11, 0, 11], [0, 0, 5, 95]],
    ]
)
PROBS = PROBS / PROBS.sum(-1, keepdims=True)

ENTROPY = [0.6365141682948128, 1.2227074265391664, 1.1267682336370535, 1.322353646706169, 1.2815553095840502]
ENTROPY += [0.8704566541075747]
BALD = [0.6365141682948128, 0.1978358392957411, 0.09607642469515776, 0.2453034629183235, 0.38906983236336556]
BALD += [0.2759775669590635]
LEAST = [1 / 3, 0.53, 0.48, 0.6166666666666667, 0.6366666666666667, 0.30333333333333334]
MARGIN = [2 / 3, 0.82, 0.7833333333333333, 0.8666666666666667, 0.9733333333333334, 0.51]
VARIANCES = [0.4444444444444444, 0.0917333333333333, 0.0329777777777778, 0.1109333333333333, 0.1881555555555556]
VARIANCES += [0.1386666666666667]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("entropy", ENTROPY),  # baal 2.1.0 Entropy, modAL 0.4.2.1 classifier_entropy, scikit-activeml 1.0.1 "entropy"
        (
            "least_confidence",
            LEAST,
        ),  # modAL classifier_uncertainty, scikit-activeml "least_confident", 1 − baal Certainty
        ("margin", MARGIN),  # scikit-activeml "margin_sampling"; 1 − baal Margin; 1 − modAL classifier_margin
        ("bald", BALD),  # baal BALD
        ("variation_ratio", [1 / 3, 1 / 3, 0, 2 / 3, 1 / 3, 1 / 3]),  # scikit-activeml variation_ratios
        ("consistency", VARIANCES),  # baal Variance, summed over the classes
        ("disagreement", np.array(BALD) * ENTROPY),  # of baal
    ],
)
def test_what_peers_say(name, expected):
    np.testing.assert_allclose(getattr(uncertainty, name)(PROBS), expected, atol=1e-6)


def test_one_class_is_sure():
    for name in uncertainty.SCORES:
        np.testing.assert_allclose(getattr(uncertainty, name)(np.ones((3, 5, 1))), np.zeros(5), atol=1e-6)


def test_one_member_disagrees_with_nobody():
    for name in ("bald", "variation_ratio", "consistency", "disagreement"):
        np.testing.assert_allclose(getattr(uncertainty, name)(PROBS[:1]), np.zeros(6), atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_loses_only_what_rounding_the_predictions_loses(dtype):
    many = np.random.default_rng(0).dirichlet(np.full(10, 0.3), (25, 40))
    for name in uncertainty.SCORES:
        rounded = jnp.asarray(many, dtype)
        exact = getattr(uncertainty, name)(np.asarray(rounded, np.float64))
        np.testing.assert_allclose(getattr(uncertainty, name)(rounded), exact, atol=1e-6)


def test_not_a_number_shows_inside_a_program():
    spoilt = PROBS.copy()
    spoilt[1, 2] = np.nan
    for name in ("entropy", "least_confidence", "margin", "bald", "consistency", "disagreement"):
        score = jax.jit(getattr(uncertainty, name))(spoilt)
        assert np.isnan(score).tolist() == [False, False, True, False, False, False]


SPOILT = {
    "NaN": (np.nan, "1 values are not finite, the first at [1, 2, 3]"),
    "infinity": (np.inf, "1 values are not finite, the first at [1, 2, 3]"),
    "negative": (-0.2, "1 of 18 are no probabilities (0 or more, of sum 1), the first at [1, 2]"),
    "too much": (0.9, "1 of 18 are no probabilities (0 or more, of sum 1), the first at [1, 2]"),
}


@pytest.mark.parametrize(("value", "said"), SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("name", uncertainty.SCORES)
def test_what_is_no_probability_is_refused(name, value, said):
    spoilt = PROBS.copy()
    spoilt[1, 2, 3] = value
    for probs in (spoilt, jnp.asarray(spoilt)):
        with pytest.raises(UserError, match=re.escape(f"probs: {said}")):
            getattr(uncertainty, name)(probs)


def test_logits_are_no_probabilities():
    with pytest.raises(UserError, match=r"of sum 2; .* give softmax of its logits"):
        uncertainty.entropy(2 * PROBS)
