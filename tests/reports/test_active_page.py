"""The page on labelling loops: whole in one file, its plots drawn, its control told from the others."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from effjax.reports import active, active_maps, active_plots
from effjax.reports.active_maps import _most_frequent, dataset_maps, queried_classes
from effjax.reports.active_plots import calibration_curves, learning_curves
from effjax.reports.pages import Page, thumbnail
from effjax.reports.tables import Table

TITLES = {"labels": "labels", "test/accuracy": "test accuracy"}


def summary(runs, seeds=2, rounds=3):
    rng = np.random.default_rng(0)
    keys = ("accuracy", "ece", "ece_scaled")

    def one():
        return [
            {"round": r, "labels": 10 * (r + 1), **{f"test/{key}": rng.random() for key in keys}} for r in range(rounds)
        ]

    return {name: {"seeds": [{"seed": s, "rounds": one()} for s in range(seeds)]} for name in runs}


def drawn(png):
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("L"))


@pytest.mark.parametrize(("runs", "seeds", "rounds"), [("ab", 2, 3), ("a", 1, 1), ("abcdefghijklmn", 1, 2)])
def test_curves_are_drawn_whatever_there_is(runs, seeds, rounds):
    found = summary(runs, seeds, rounds)
    assert drawn(learning_curves(found, {}, "a", "labels", "test/accuracy", TITLES)).std() > 5
    assert drawn(calibration_curves(found, {}, "a", "test")).std() > 5


def test_every_run_has_a_panel_beside_the_control(monkeypatch):
    lines, titles = [], []
    plot, set_title = Axes.plot, Axes.set_title
    monkeypatch.setattr(Axes, "plot", lambda axis, *a, **k: lines.append((axis, k)) or plot(axis, *a, **k))
    monkeypatch.setattr(Axes, "set_title", lambda axis, text, **k: titles.append(text) or set_title(axis, text, **k))
    learning_curves(summary("abcdefg"), {"b": "run b"}, "a", "labels", "test/accuracy", TITLES)
    assert titles == ["run b", *"cdefg"]
    dashed = [(axis, style) for axis, style in lines if style.get("linestyle") == "--"]
    assert len({axis for axis, _ in dashed}) == 1 + 6  # in the first panel and in each of the others
    assert {style["color"] for _, style in dashed} == {"0.45"}
    assert [style["label"] for _, style in dashed if "label" in style] == ["a"]


@pytest.mark.parametrize("draw", ["learning", "calibration"])
def test_the_legend_of_many_runs_stays_beside_its_panel(draw, monkeypatch):
    figures = []
    monkeypatch.setattr(active_plots, "png", figures.append)
    found = summary([f"run {number}" for number in range(50)], 1, 2)
    if draw == "learning":
        learning_curves(found, {}, "run 0", "labels", "test/accuracy", TITLES)
    else:
        calibration_curves(found, {}, "run 0", "test")
    (figure,) = figures
    figure.canvas.draw()
    beside = figure.subfigs[0] if draw == "learning" else figure
    (legend,) = beside.legends
    assert legend.get_window_extent().y0 >= beside.bbox.y0


def test_the_band_of_two_seeds_does_not_flatten_the_curves(monkeypatch):
    axes = []
    monkeypatch.setattr(active_plots, "png", lambda figure: axes.extend(figure.axes))
    rounds = [[{"labels": 10 * r, "test/accuracy": a + r / 10} for r in range(4)] for a in (0.3, 0.5)]  # 0.3 to 0.8
    found = {name: {"seeds": [{"seed": i, "rounds": r} for i, r in enumerate(rounds)]} for name in "ab"}
    learning_curves(found, {}, "a", "labels", "test/accuracy", TITLES)
    assert len(axes) == 2
    for axis in axes:
        np.testing.assert_allclose(axis.get_ylim(), (0.05, 1.05))  # the band: 0.4 ± 1.27 at the left


def test_without_a_control_there_is_one_panel():
    with_control, without = (
        drawn(learning_curves(summary("abc"), {}, control, "labels", "test/accuracy", TITLES))
        for control in ("a", None)
    )
    assert without.shape[0] < with_control.shape[0]


def test_maps_are_drawn():
    rng = np.random.default_rng(0)
    one = {name: rng.random(20) for name in ("confidence", "variability", "correctness")}
    assert drawn(dataset_maps({"a": {**one, "removed": np.arange(20) < 3}, "b": {**one, "removed": []}})).std() > 5
    counts = {"a": rng.integers(0, 9, (3, 2)).astype(float), "b": rng.integers(0, 9, (1, 2)).astype(float)}
    assert drawn(queried_classes(counts, ("cat", "dog"))).std() > 5


@pytest.fixture
def maps(monkeypatch):
    """The figures of maps that are drawn, before they become PNG."""
    found = []
    monkeypatch.setattr(active_maps, "png", lambda figure: plt.close(figure) or found.append(figure) or b"")
    return found


def test_what_was_asked_is_counted_in_numbers_where_these_can_be_read(maps):
    counts = {"a": np.array([[0.0, 4.0], [2.0, 3.0]]), "b": np.zeros((81, 2)), "c": np.zeros((80, 2))}
    queried_classes(counts, ("cat", "dog"))
    a, b, c = maps[0].axes
    np.testing.assert_array_equal(a.images[0].get_array(), [[0, 2], [4, 3]])  # a row a class
    assert {axis.images[0].get_clim() for axis in (a, b, c)} == {(0, 4)}  # one scale for all runs
    written = {text.get_position(): (text.get_text(), text.get_color()) for text in a.texts}
    assert written == {(0, 0): ("0", "0.1"), (0, 1): ("4", "white"), (1, 0): ("2", "0.1"), (1, 1): ("3", "white")}
    assert (len(b.texts), len(c.texts)) == (0, 160)
    assert [label.get_text() for label in a.get_yticklabels()] == ["cat", "dog"]
    assert [axis.get_title() for axis in (a, b, c)] == [*"abc"]


def test_a_dataset_map_has_a_dot_an_example_and_crosses_what_was_removed(maps):
    found = {
        "variability": np.array([0.1, 0.2, 0.3]),
        "confidence": np.array([0.9, 0.5, 0.2]),
        "correctness": np.array([1.0, 0.5, 0.0]),
    }
    dataset_maps({"a": {**found, "removed": [False, True, True]}, "b": {**found, "removed": []}})
    a, b = maps[0].axes[:2]
    for axis in (a, b):
        dots = axis.collections[0]
        np.testing.assert_allclose(dots.get_offsets(), np.column_stack([found["variability"], found["confidence"]]))
        np.testing.assert_array_equal(dots.get_array(), found["correctness"])
        assert dots.get_clim() == (0, 1)
    np.testing.assert_allclose(a.collections[1].get_offsets(), [[0.2, 0.5], [0.3, 0.2]])
    assert [text.get_text() for text in a.get_legend().get_texts()] == ["removed: 2"]
    assert len(b.collections) == 1
    assert b.get_legend() is None
    assert (a.get_title(), a.get_xlabel(), a.get_ylabel()) == ("a", "variability", "confidence")


def test_of_thousands_of_classes_those_are_drawn_that_were_asked_for():
    counts = np.zeros((2, 3000), np.int64)
    counts[:, 2999], counts[0, 7] = 5, 1
    names = [f"answer {number}" for number in range(3000)]
    found, shown = _most_frequent({"run": counts}, names)
    assert (len(shown), shown[7], shown[-2], shown[-1]) == (100, "answer 7", "answer 2999", "2,901 others")
    np.testing.assert_array_equal(found["run"].sum(1), counts.sum(1))
    np.testing.assert_array_equal(found["run"][:, -2], [5, 5])
    assert drawn(queried_classes({"run": counts}, names)).shape[0] < 6000


def test_thumbnails_become_smaller_but_never_larger():
    assert len(thumbnail(np.zeros((300, 200, 3), np.uint8), 48)) < len(
        thumbnail(np.zeros((300, 200, 3), np.uint8), 300)
    )
    noise = np.random.default_rng(0).integers(0, 256, (12, 12, 1), np.uint8)
    assert thumbnail(noise, 48) == thumbnail(noise, 12)


@pytest.mark.parametrize("rounds", [[3, 3], [10] * 14, [100] * 20])
def test_what_is_shown_fits_a_page(rounds):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 1), np.uint8)
    examples, most = active.how_many(noise, rounds)
    assert 4 <= examples <= 12
    shown = 2 * examples * sum(min(most, count) for count in rounds) * len(thumbnail(noise, 48))
    assert shown <= 4 * 2**20
    if len(rounds) == 2:
        assert (examples, most) > (11, 3)  # nothing is left out of what is little


def test_page_is_one_file_with_everything_in_it(tmp_path):
    image = np.zeros((4, 4, 1), np.uint8)
    shown, png = (
        active.CaptionedImage(image, "<b>seven</b>"),
        learning_curves(summary("a"), {}, None, "labels", "test/accuracy", TITLES),
    )
    examples = [
        active.AskedExample(shown, 0.25, active.CaptionedImage(image, "one"), 1.5, True),
        active.AskedExample(active.CaptionedImage(image, "skipped"), None, None, None, False),
    ]
    active.write_active(
        tmp_path / "report.html",
        Page(
            title="Title",
            lead="Lead",
            facts={"seed": 3},
            table=Table(("run",), [("<script>",)]),
            notes=["how so"],
            further=[(Table(("claim",), [("it holds",)]), "by what")],
            config={"a": 1, "b": (2, 3)},
        ),
        so_far="Not over",
        split="validation",
        watch="accuracy",
        pictures=active.Pictures(png, None, png, None, png, png),
        asked={"entropy": [active.AskedRound(1, "2 asked, 1 skipped", examples)]},
        extremes={"entropy": active.Extremes("10 removed", [shown], [shown], [])},
    )
    page = (tmp_path / "report.html").read_text()
    assert "http" not in page  # nothing is loaded from elsewhere
    assert "<script>" not in page
    assert "<b>seven" not in page  # what comes from outside is escaped
    assert page.count('src="data:image/png;base64,') == page.count("<img") == 4 + 3 + 2
    assert "<pre>a: 1\nb:\n- 2\n- 3\n</pre>" in page  # the config
    for said in ("Not over", "how so", "it holds", "score 0.25", "distance 1.5", "2 asked, 1 skipped", "10 removed"):
        assert said in page
    assert page.count("<details>") == 2
    assert page.count('class="other"') == 1
    for absent in ("By what was spent", "reliability", "The removed"):
        assert absent not in page
