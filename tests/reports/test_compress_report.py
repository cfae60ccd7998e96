"""Tables and plots of files, with values by hand."""

import itertools

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from effjax.reports import compress_plots
from effjax.reports import compress_tables as tables
from effjax.reports.compress import write_report
from effjax.reports.compress_plots import plot_tradeoffs, unbeaten
from effjax.reports.pages import Page


def export(accuracies, *, kilobytes, milliseconds, control="", bits="float32", nonzero=50):
    seed = {"parameters": 200, "nonzero": nonzero, "multiply_adds": 3e6, "bytes": 2000 * kilobytes, "ece": 0.05}
    seed |= {"bytes_zipped": 1000 * kilobytes, "agreement_own": 1.0, "same_bits": None if bits == "float32" else 0.5}
    seeds = [
        {**seed, "seed": i, "test/accuracy": a, "test/accuracy_best": a + 0.01, "accuracy": a}
        for i, a in enumerate(accuracies)
    ]
    latency = {size: {"least": milliseconds, "median": 2 * milliseconds} for size in ("1", "32")}
    return {"bits": bits, "control": control, "teacher": "", "seeds": seeds, "latency": latency}


LABELS = {"plain": "plain", "small": "small", "worse": "worse", "alike": "alike"}


@pytest.fixture
def summary():
    return {
        "plain": export([0.50, 0.60, 0.70], kilobytes=8, milliseconds=1.0),
        "small": export([0.54, 0.64, 0.741], kilobytes=2, milliseconds=0.5, control="plain", bits="w8a8"),
        "worse": export([0.45, 0.55, 0.649], kilobytes=8, milliseconds=1.5, control="plain", nonzero=20),
        "alike": export([0.60, 0.50, 0.70], kilobytes=4, milliseconds=1.0, control="plain"),
    }


def test_rows_by_hand(summary):
    plain, small, *_ = tables.files(summary, LABELS).rows
    costs = ("200", "25 %", "3.00", "16.0", "8.0")
    assert plain[:9] == ("plain", "float", *costs, "60.00 ± 10.00 %", "61.00 ± 10.00 %")
    assert plain[9:] == ("", "100.00 %", "", "0.0500", "", "1.000 / 2.000", "1.000 / 2.000")
    assert small[:2] == ("small", "w8a8")
    assert small[9] == "+4.03 ± 0.14 %"  # 4.3027 · 0.0577 / √3
    assert small[13:] == ("50.00 %", "0.500 / 1.000", "0.500 / 1.000")


def test_what_is_worse_is_called_so(summary):
    compared = tables.comparisons(summary, LABELS)
    assert [row[0] for row in compared.rows] == ["small − plain", "worse − plain", "alike − plain"]
    assert [row[3] for row in compared.rows] == ["better", "worse", "not told apart"]
    assert compared.rows[0][4:] == ("0.25", "0.50", "0.50")
    assert compared.rows[1][2] == "< 0.001"
    assert tables.lead(summary, LABELS) == (
        "Less accurate than its control: worse. Not told apart from its control in accuracy: alike. "
        "More accurate than its control: small. "
        "Not faster by a twentieth at one image, though lighter: worse. "
        "Not smaller by a twentieth when zipped, though lighter: worse."
    )


def test_from_end_to_end_a_file_stands_beside_its_teacher(summary):
    assert tables.from_teachers(summary, LABELS) is None
    small = {**summary["small"], "teacher": "plain"}
    (row,) = tables.from_teachers({**summary, "small": small}, LABELS).rows
    assert row == ("small − plain", "+4.03 ± 0.14 %", "4.0 ×", "4.0 ×", "2.0 ×", "2.0 ×")
    assert tables.from_teachers({"small": small}, LABELS) is None  # whose teacher is in no row


def test_one_seed_decides_nothing_and_no_control_compares_nothing(summary):
    few = {name: {**one, "seeds": one["seeds"][:1]} for name, one in summary.items()}
    assert {row[3] for row in tables.comparisons(few, LABELS).rows} == {"not told apart: one seed"}
    assert tables.lead(few, LABELS).startswith("Not told apart from its control in accuracy: small; worse; alike.")
    assert tables.comparisons({"plain": summary["plain"]}, LABELS) is None
    assert tables.lead({"plain": summary["plain"]}, LABELS) == ""


def test_unbeaten_by_hand():
    assert unbeaten([(2, 0.5), (1, 0.4), (3, 0.5), (1, 0.3), (4, 0.9)]) == [(1, 0.4), (2, 0.5), (4, 0.9)]


def test_labels_cover_neither_one_another_nor_a_point(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(compress_plots, "png", lambda figure: plt.close(figure) or figures.append(figure) or b"")
    near = {
        f"{bits} {i}": export([0.6], kilobytes=2 + i / 8, milliseconds=1 + i / 16, bits=bits)
        for i, bits in enumerate(("float32", "w8a8", "w4a4"))
    }
    near["far"] = export([0.7], kilobytes=30, milliseconds=20)
    plot_tradeoffs(tmp_path / "plot.png", near, {name: f"{name} of several" for name in near})
    (figure,) = figures
    figure.draw_without_rendering()
    for axis in figure.axes:
        labels = [text.get_window_extent() for text in axis.texts if text.get_text()]
        points = axis.transData.transform(
            [line.get_xydata()[0] for line in axis.get_lines() if len(line.get_xdata()) == 1]
        )
        assert len(labels) == len(near)
        assert not any(one.overlaps(other) for one, other in itertools.combinations(labels, 2))
        assert not any(label.contains(*point) for label in labels for point in points)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["float", "w4a4", "w8a8"]


def test_plot_and_page(summary, tmp_path):
    many = {**summary, **{f"copy_{i}": summary["plain"] for i in range(12)}}  # all at one place
    plot_tradeoffs(tmp_path / "plot.png", many, {name: f"a file called {name}" for name in many})
    with Image.open(tmp_path / "plot.png") as image:
        assert image.size[0] > 1000
    main, compared = tables.files(summary, LABELS), tables.comparisons(summary, LABELS)
    page = Page("Small <files>", tables.lead(summary, LABELS), {}, main, ("a note",), [(compared, tables.COMPARED)])
    write_report(tmp_path / "report.html", page, tradeoffs=tmp_path / "plot.png")
    text = (tmp_path / "report.html").read_text()
    assert "Small &lt;files&gt;" in text
    assert "worse − plain" in text
    assert text.count("<table>") == 2
