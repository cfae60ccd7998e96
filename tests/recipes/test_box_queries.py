"""What labelling loops cannot choose by, for what is learnt: said before anything is trained."""

import re

import pytest

from configs.active import digit_questions, nuclei
from effjax.recipes import schema
from effjax.recipes.active.checks import loop_problems

REFUSED = [
    (nuclei, {"score": "cald"}, "cald.*predictions='augmentations'"),
    (nuclei, {"score": "cald", "predictions": "ensemble", "members": 3}, "cald.*predictions='augmentations'"),
    (nuclei, {"score": "epig", "predictions": "ensemble"}, "'epig': the task 'detection' is not of classes"),
    (nuclei, {"discount": "nucleus"}, "discount='nucleus': the task 'detection' is not of classes"),
    (nuclei, {"annotator": "label"}, "annotator='label': the task 'detection' is not of classes"),
    (digit_questions, {"score": "weighted_entropy"}, "'weighted_entropy': the task 'answering' has one item"),
    (digit_questions, {"selector": "category_diverse"}, "'category_diverse': the task 'answering' has one item"),
    (digit_questions, {"floor": "calibrated"}, "floor='calibrated': the task 'answering' has one item"),
    (digit_questions, {"score": "cald", "predictions": "augmentations"}, "cald.*items have places"),
]


def problems(config, query) -> list[str]:
    made = config.get_config("tiny")
    made.runs = {"random": made.runs.random, "other": next(iter(made.runs.values())).copy_and_resolve_references()}
    made.runs.other.query = schema.query(**query)
    made.table, made.claims = (), ()
    return list(loop_problems(made.to_dict()))


@pytest.mark.parametrize(("config", "query", "message"), REFUSED)
def test_a_query_that_the_task_cannot_answer_is_refused(config, query, message):
    (said,) = [one for one in problems(config, query) if "seeds_together" not in one]
    assert re.search(message, said), said


@pytest.mark.parametrize(
    "query",
    [
        {"score": "cald", "predictions": "augmentations", "floor": "calibrated"},
        {"score": "weighted_entropy", "aggregate": "sum", "selector": "category_diverse", "candidates": 8},
        {"floor": 0.3},
    ],
)
def test_a_detector_is_asked_by_what_it_finds(query):
    assert problems(nuclei, query) == []
