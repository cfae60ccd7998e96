"""The task of answering questions: what is measured of answers, and what people may write."""

import jax.numpy as jnp
import numpy as np
import pytest

from effjax.recipes.active.answers import parse_answer
from effjax.tasks import find_task

TASK = find_task("answering")
LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]], np.float32))
LABELS = np.array([0, 0, 2, 1])


def test_accuracy_is_split_by_type_and_kind_where_the_data_have_them():
    plain = TASK.measure(LOGITS, {"label": LABELS})
    assert set(plain) == {"accuracy", "nll", "ece"}
    assert plain["accuracy"] == 0.5
    kinds = {"type": np.array(["count", "count", "digit", "digit"]), "kind": np.array(["learnable"] * 3 + ["external"])}
    found = TASK.measure(LOGITS, {"label": LABELS, **kinds})
    assert found == {
        **plain,
        "accuracy/type/count": 0.5,
        "accuracy/type/digit": 0.5,
        "accuracy/kind/learnable": pytest.approx(2 / 3),
        "accuracy/kind/external": 0.0,
    }


def test_ten_people_give_the_consensus():
    given = np.array([[0] * 2 + [1] * 8, [1] * 10, [0] * 10, [-1] * 10])
    found = TASK.measure(LOGITS, {"label": LABELS, "answers": given})
    assert found["consensus_accuracy"] == pytest.approx((0.6 + 1 + 0 + 0) / 4)


def test_networks_see_image_and_question_alone():
    assert TASK.inputs == ("image", "question")
    assert TASK.features == ("image", "question", "label", "id")


def test_its_metrics_and_outcome_are_those_of_classes():
    batch, where = {"label": jnp.asarray(LABELS)}, jnp.ones(4, bool)
    assert float(TASK.metrics["accuracy"].update(jnp.asarray(LOGITS), batch, where).compute()) == 0.5
    own, right = TASK.outcome(jnp.asarray(LOGITS), batch)
    np.testing.assert_allclose(own, [0.7, 0.1, 0.6, 0.3], atol=1e-6)
    assert right.tolist() == [True, False, True, False]
    assert TASK.items(jnp.asarray(LOGITS)[None]).probs.shape == (1, 4, 1, 3)


def test_people_write_answers_and_that_there_is_none():
    answers = TASK.answers(("yes", "no", "cannot be answered"))
    assert answers.hint == "an answer (yes, no, cannot be answered)"
    assert parse_answer("No", answers) == ("labelled", 1)
    assert parse_answer("cannot be answered", answers) == ("labelled", 2)
    assert parse_answer("unlabelable", answers) == ("unlabelable", None)
    with pytest.raises(ValueError, match="'nope' is no class"):
        parse_answer("nope", answers)
    many = TASK.answers(tuple(str(i) for i in range(3000)))
    assert many.hint.endswith("59, … (3,000 in all))")
    assert TASK.answers(tuple(str(i) for i in range(60))).hint.endswith("58, 59)")
