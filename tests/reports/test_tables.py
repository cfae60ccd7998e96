import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.stats
from matplotlib.axes import Axes
from PIL import Image

from effjax.reports import curves, tables
from effjax.reports.accuracies import plot_accuracies
from effjax.reports.boxes import plot_boxes
from effjax.reports.curves import plot_curves
from effjax.reports.pages import Page
from effjax.reports.training import Opinion, write_report


def run(accuracies, params=10):
    seeds = [
        {"seed": i, "test/accuracy": a, "test/accuracy_best": a, "agreement": 0.5, "test/ece": 0.1}
        for i, a in enumerate(accuracies)
    ]
    return {"params": params, "mflops": 0.5, "seeds": seeds}


def test_estimates_by_hand():
    ours, control = run([0.90, 0.94])["seeds"], run([0.90, 0.90])["seeds"]
    mean = tables.Estimate.over_seeds(ours, "test/accuracy")
    assert math.isclose(mean.mean, 0.92)
    assert math.isclose(mean.spread, 0.02 * math.sqrt(2))  # sample standard deviation
    difference = tables.Estimate.paired(ours, control, "test/accuracy")
    assert math.isclose(difference.mean, 0.02)
    assert math.isclose(difference.spread, 12.7062 * 0.02, rel_tol=1e-5)  # t of one degree of freedom, standard error


def test_pairs_are_by_seed_not_by_position():
    control = run([0.1, 0.2, 0.3])["seeds"]
    assert tables.Estimate.paired(control[::-1], control, "test/accuracy").mean == 0


def test_one_seed_has_no_spread():
    assert tables.Estimate.of([0.5]).percent() == "50.00 %"


def test_control_has_no_difference_and_markdown_is_whole():
    summary = {"student": run([0.5, 0.6]), "distilled": run([0.6, 0.7])}
    text = tables.results(summary, {"student": "alone"}, "student").markdown()
    header, rule, alone, distilled = text.splitlines()
    assert header.count("|") == rule.count("|") == alone.count("|") == distilled.count("|")
    assert alone.startswith("| alone ")
    assert alone.endswith("|  |  |")
    assert "+10.00 ± 0.00 %" in distilled


def test_claims_are_judged_by_their_interval_and_by_how_many_there_are():
    summary = {"a": run([0.5, 0.6, 0.7]), "b": run([0.51, 0.61, 0.705]), "c": run([0.4, 0.8, 0.6])}
    made = [("b beats a", "b", "a"), ("a b", "a", "b"), ("c a", "c", "a")]
    rows = tables.claims(summary, {"b": "bee"}, made, "test/accuracy").rows
    assert [row[-1] for row in rows] == ["holds, by itself", "the opposite holds, by itself", "not told apart"]
    assert rows[0][:4] == ("b beats a", "bee − a", "+0.83 ± 0.72 %", "0.113")  # 4.3027 · 0.2887 / √3; 3 · 0.0377
    alone = tables.claims(summary, {}, made[:1], "test/accuracy").rows[0]
    assert alone[3:] == ("0.038", "holds")


def test_p_values_are_those_of_scipy():
    for values in ([0.3, -0.1, 0.2], [1.0, 1.1, 0.9, 1.4], [-2.0, -1.0]):
        assert tables.p_value(values) == pytest.approx(scipy.stats.ttest_1samp(values, 0.0).pvalue)
    assert tables.p_value([0.4]) == tables.p_value([0.0, 0.0]) == 1.0
    assert tables.p_value([0.5, 0.5]) == 0.0


def test_holms_correction_by_hand():
    assert tables.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert tables.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert tables.holm([]) == []


def test_accuracies_are_drawn(tmp_path):
    plot_accuracies(tmp_path / "a.png", {"a": run([0.5, 0.6]), "b": run([0.6, 0.6])}, {}, "a", "test/accuracy")
    with Image.open(tmp_path / "a.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5


def test_curves_are_of_the_seeds_and_the_steps_that_have_the_metric(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(curves, "png", lambda figure: plt.close(figure) or figures.append(figure) or b"")

    def seed(values, key="loss"):
        return [{"step": step, key: value} for step, value in values.items()]

    series = {
        "a": [seed({1: 4.0, 2: 3.0, 4: 1.0}), seed({1: 2.0, 4: 3.0}), seed({1: 9.0}, "other")],
        "b": [seed({5: 1.0}, "other")],
        "c": [seed({10: 2.0})],
    }
    plot_curves(tmp_path / "c.png", series, {"loss": "the loss"}, {"a": "A"})
    ((axis,),) = (figure.axes for figure in figures)
    assert (axis.get_title(), axis.get_xlabel()) == ("the loss", "share of the run (%)")
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.get_lines()}
    assert lines == {"A": [[25, 3], [100, 2]], "c": [[100, 2]]}
    (band, _) = (one.get_paths()[0].get_extents() for one in axis.collections)
    assert (band.x0, band.x1, band.y0, band.y1) == (25, 100, 1, 4)


@pytest.mark.parametrize("taught", [True, False])
def test_report_is_one_file_with_everything_in_it(tmp_path, taught):
    series = {"a": [[{"step": 1, "accuracy": 0.1}, {"step": 2, "accuracy": 0.3}]] * 2}
    plot_curves(tmp_path / "curves.png", series, {"accuracy": "accuracy"}, {"a": "A <b>"})
    with Image.open(tmp_path / "curves.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5  # something was drawn
    probs = {"teacher": np.array([0.25, 0.75])}
    write_report(
        tmp_path / "report.html",
        Page(
            title="Title",
            lead="Lead",
            facts={"seed": 3},
            table=tables.Table(("run",), [("<script>",)]),
            further=[(tables.Table(("claim",), [("it holds",)]), "how so")],
        ),
        accuracies=tmp_path / "curves.png",
        curves=tmp_path / "curves.png",
        class_names=("zero", "one"),
        opinions=[Opinion(np.zeros((4, 4, 1), np.uint8), 1, "one", probs)],
        taught=taught,
    )
    page = (tmp_path / "report.html").read_text()
    assert "http" not in page  # nothing is loaded from elsewhere
    assert "<script>" not in page  # what comes from outside is escaped
    assert page.count("data:image/png;base64,") == 3
    assert "<td>it holds</td>" in page
    assert ("teacher hesitates" in page) == taught
    assert 'class="true" style="height: 86.6%"' in page  # sqrt(0.75)


def test_boxes_have_the_quartiles_of_the_seeds(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(Axes, "boxplot", lambda axis, values, **options: drawn.update(values=values, **options))
    seeds = [0.5, 0.6, 0.7, 0.8]
    plot_boxes(tmp_path / "b.png", {"a": run(seeds), "b": run(seeds)}, {"a": "first"}, "a", "test/accuracy")
    np.testing.assert_allclose(drawn["values"][0], [50, 40, 30, 20])  # errors, in percent
    assert drawn["tick_labels"] == ["first", "b"]
    assert (tmp_path / "b.png").stat().st_size > 1000


def test_one_seed_is_no_mean():
    assert tables.averaged_over([3]) == "Seed 3 alone."
    assert tables.averaged_over(range(2)) == "Mean ± standard deviation over the seeds 0, 1."


def test_runs_of_other_seeds_are_named_together():
    runs = {"one": range(3), "teacher": range(1), "a": range(2), "b, without": range(2)}
    assert tables.averaged_over(range(3), runs) == (
        "Mean ± standard deviation over the seeds 0, 1, 2. Of teacher: seed 0 alone. Of a; b, without: the seeds 0, 1."
    )
