"""Loops that ask several kinds of questions: which, at what price, and what is learnt from the answers."""

import re

import numpy as np
import pytest
from small_detectors import DATA, get_config

from configs.active import digit_questions, weak_nuclei
from effjax.data.ledger import Answer, Ledger
from effjax.data.prepare import prepare
from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.active.checks import loop_problems
from effjax.recipes.active.folder import LoopFolder
from effjax.recipes.active.kinds import Prospect, within
from effjax.recipes.active.trainer import Trainer
from effjax.tasks.box_answers import BoxAnswers

ANSWERS = BoxAnswers(("ant", "bee", "cat", "dog"), look=2.0, draw=7.0, verify=1.5, tag=1.0)
WHEN = "2026-01-01"


def test_each_image_is_asked_what_settles_most_per_second():
    # Tags put half of what is wrong right, .8 of it on .625 of images: .5 for 4 seconds; boxes all, for 2 and 7 each.
    prospect = Prospect(("tag", "box"), ANSWERS, untagged=0.2, explained=0.625, tagged=0.84)
    assert prospect.of_tags == pytest.approx(0.5)
    found, tagged = np.array([0, 1, 3, 3]), np.array([False, False, False, True])
    kinds, rates, seconds = prospect.best(found, tagged)
    assert kinds == ["box", "tag", "tag", "box"]  # nothing to draw; dear; dearer; tagged before
    np.testing.assert_allclose(rates, [1 / 2, 0.5 / 4, 0.5 / 4, 0.5 / 23])
    np.testing.assert_allclose(seconds, [2, 4, 4, 23])
    # Corrections: 1.5 for each that is found, and of the true ones the share that nobody would leave is drawn.
    mending = Prospect(("tag", "correct"), ANSWERS, untagged=0.8, explained=1.0, tagged=0.9, accepted=0.8)
    kinds, rates, seconds = mending.best(found, tagged)
    assert kinds == ["correct", "correct", "tag", "correct"]
    np.testing.assert_allclose(seconds, [2, 2 + 1.5 + 1.4, 4, 2 + 4.5 + 4.2])


def test_what_tags_do_not_put_right_is_not_asked_for_by_tags():
    for tagged in (0.3, 0.2):
        kinds, _, _ = Prospect(("tag", "box"), ANSWERS, 0.3, 1.0, tagged).best(np.arange(5), np.zeros(5, bool))
        assert set(kinds) == {"box"}
    assert Prospect(("tag", "box"), ANSWERS, 1.0, 1.0, 1.0).of_tags == 0


def test_costs_go_by_how_many_there_are_where_so_many_are_found():
    prospect = Prospect(("box",), ANSWERS, none=1.5, each=0.5)
    np.testing.assert_allclose(prospect.costs("box", np.array([0, 3])), [2 + 7 * 1.5, 2 + 7 * 3])
    assert Prospect(("box",), ANSWERS, none=-1.0).costs("box", np.zeros(1)).tolist() == [2.0]


def test_a_round_is_as_long_as_it_says_and_asks_something():
    costs = np.array([5.0, 1.0, 2.0, 9.0])
    assert within([2, 0, 1, 3], costs, 7.5) == [2, 0]
    assert within([2, 0, 1, 3], costs, 8.0) == [2, 0, 1]
    assert within([3, 0], costs, 1.0) == [3]
    assert within([0, 1, 2, 3], costs, 1e6) == [0, 1, 2, 3]


def test_tags_stand_in_the_way_of_tags_and_boxes_of_both(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", {})
    ledger.ask(0, [4, 2, 9], [None] * 3, WHEN, kind=["box", "tag", "tag"])
    assert (ledger.open("box"), ledger.open("tag"), ledger.open()) == ([4], [2, 9], [4, 2, 9])
    boxes = [{"box": [0, 0, 1, 1], "class": "ant"}]
    ledger.answer([Answer(4, "labelled", boxes, kind="box", cost=9.0)], "ann", WHEN)
    ledger.answer([Answer(2, "labelled", [], kind="tag", cost=4.0), Answer(9, "unlabelable", kind="tag")], "ann", WHEN)
    ledger.ask(1, [2], [0.5], WHEN, kind="correct")
    ledger.answer([Answer(2, "labelled", boxes, kind="correct", cost=3.0)], "ann", WHEN)
    again = Ledger(tmp_path / "ledger.jsonl", {})
    assert again.labels(kinds=("box", "correct")) == {4: boxes, 2: boxes}
    assert again.labels(before=1, kinds=("tag",)) == {2: []}
    assert again.taken(("box", "correct")) == {2, 4, 9}  # what cannot be labelled is not asked for in any way
    assert again.taken() == {2, 4, 9}
    assert again.costs() == (16.0, 3)
    assert (again.asked_in(0, "tag"), again.asked_in(1, "tag")) == ([2, 9], [])


@pytest.fixture(scope="module")
def home(request):
    folder = request.config.rootpath / ".cache" / "test_data"
    prepare(DATA, folder)
    return folder


@pytest.fixture(scope="module")
def done(home, tmp_path_factory):
    """The experiment, and what its rounds were given to learn beside their labels."""
    config, learnt = get_config("kinds"), []
    config.data.dir = str(home)
    feed = Trainer._feed

    def noted(self, labels):
        learnt.append((self.name, dict(labels[0])))
        return feed(self, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_feed", noted)
        folder = tmp_path_factory.mktemp("kinds")
        summary = active.main(config.to_dict(), folder)
    return folder, summary, learnt


def entries(folder, name, event):
    ledger = LoopFolder.of(folder, name, 0).ledger()
    return [entry for entry in ledger.entries if entry.event == event]


def test_a_loop_asks_for_tags_and_corrections_and_pays_for_each(done):
    folder, summary, _ = done
    said = entries(folder, "asked", "labelled")
    assert {(entry.round, entry.kind) for entry in said} >= {(0, "box"), (0, "tag"), (2, "correct")}
    assert all(entry.cost == 10.0 for entry in said if entry.kind == "tag")  # a second for each of ten classes
    drawn = [entry for entry in said if entry.kind == "box"]
    assert [entry.cost for entry in drawn] == [2 + 7 * len(entry.answer) for entry in drawn]
    rounds = summary["asked"]["seeds"][0]["rounds"]
    spent = np.cumsum([sum(entry.cost for entry in said if entry.round == number) for number in range(3)])
    assert [one["cost"] for one in rounds] == pytest.approx(spent)
    strong = [entry for entry in said if entry.kind != "tag"]
    assert [one["labels"] for one in rounds] == [sum(e.round <= number for e in strong) for number in range(3)]
    assert {one.kind for one in entries(folder, "draw", "asked")} == {"box"}
    both = [[entry.id for entry in entries(folder, name, "asked") if entry.kind == "box"][:8] for name in summary]
    assert both[0] == both[1]  # one and the same start


def test_tagged_images_are_learnt_by_what_the_network_before_finds(done):
    folder, _, learnt = done
    of_loop = [answers for name, answers in learnt if name == "asked"]
    ledger = LoopFolder.of(folder, "asked", 0).ledger()
    assert of_loop[0] == ledger.labels(before=1, kinds=("box", "correct"))  # the first has no teacher
    for number in (1, 2):
        strong = ledger.labels(before=number + 1, kinds=("box", "correct"))
        tags = ledger.labels(before=number + 1, kinds=("tag",))
        assert strong.keys() <= of_loop[number].keys() <= strong.keys() | tags.keys()
        for id_, boxes in of_loop[number].items():
            if id_ in strong:
                assert boxes == strong[id_]
            else:
                assert {one["class"] for one in boxes} == set(tags[id_])  # which they explain
                assert len(boxes) <= 6


def test_processes_that_write_nothing_get_the_same_answers(done, home, tmp_path, monkeypatch):
    """As all but the first of several do: what is proposed to the annotator is proposed there, too."""
    config = get_config("kinds")
    config.data.dir, config.active.rounds = str(home), 2
    monkeypatch.setattr("effjax.recipes.active.loop.is_primary", lambda: False)
    active.main(config.to_dict(), tmp_path, only=("asked",))
    first = [entry for entry in entries(done[0], "asked", "labelled") if entry.round < 2]
    again = entries(tmp_path, "asked", "labelled")
    assert [(e.id, e.kind, e.answer, e.cost) for e in again] == [(e.id, e.kind, e.answer, e.cost) for e in first]
    drawn = {entry.id: 2 + 7 * len(entry.answer) for entry in first if entry.kind == "correct"}
    assert any(entry.cost != drawn[entry.id] for entry in first if entry.kind == "correct")  # something was proposed


def test_the_page_shows_what_was_asked_and_how(done):
    page = (done[0] / "report.html").read_text()
    assert "tags: " in page
    assert "seconds" in page


REFUSED = [
    ({"tags": 3}, "tags=3: .* has no 'tag'"),
    ({"kinds": ("tag",)}, "nothing is learnt from tags without boxes: add box or correct"),
    ({"kinds": ("box",), "selector": "badge"}, "go by gain per second: take top_k, or random"),
]


@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_kinds_that_lead_nowhere_are_refused(query, message):
    config = weak_nuclei.get_config("tiny")
    config.runs.draw.query = schema.query(**query)
    (said,) = loop_problems(config.to_dict())
    assert re.search(message, said), said


def test_what_kinds_need_is_said():
    config = weak_nuclei.get_config("tiny")
    config.active.seconds, config.active.oracle = 0.0, "folder"
    said = list(loop_problems(config.to_dict()))
    assert any("config.active.seconds=0: say how long" in line for line in said)
    assert any("oracle='folder' asks for boxes alone" in line for line in said)
    questions = digit_questions.get_config("tiny")
    name = next(iter(questions.runs))
    questions.runs[name].query = schema.query(kinds=("tag", "box"), predictions="teacher", selector="random")
    said = [line for line in loop_problems(questions.to_dict()) if f"runs.{name}." in line]
    assert any("answers of the task 'answering' are of one kind" in line for line in said)


def test_a_kind_that_there_is_not_is_named():
    config = weak_nuclei.get_config("tiny")
    config.runs.draw.query.kinds = ("box", "draw")
    with pytest.raises(UserError, match=r"query\.kinds=.*a list of some of tag, box, correct"):
        schema.check(config.to_dict(), loop_problems)
