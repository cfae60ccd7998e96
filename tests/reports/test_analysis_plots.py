"""The pictures of an analysis: what is drawn, with values by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from effjax.reports import analysis_plots as plots


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, before they become PNG."""
    found = []
    monkeypatch.setattr(plots, "png", lambda figure: plt.close(figure) or found.append(figure) or b"")
    return found


def row(network, role, value=None):
    difference = None if value is None else {"low": value - 0.01, "value": value, "high": value + 0.03}
    return {"network": network, "role": role, "difference": difference}


def test_differences_are_drawn_in_points_a_line_for_each_share_that_has_one(figures):
    measures = [
        {"name": "agreement", "unit": "share", "rows": [row("one", "student", 0.05), row("two", "control", 0.01)]},
        {"name": "distance", "unit": "number", "rows": [row("one", "student", 7.0)]},
        {"name": "nothing", "unit": "share", "rows": [row("one", "student")]},
        {"name": "fooled", "unit": "share", "rows": [row("one", "student", -0.02), row("two", "control")]},
    ]
    plots.differences(measures)
    (figure,) = figures
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["agreement", "fooled"]
    one, two = axis.containers
    assert (one.get_label(), two.get_label()) == ("one (student)", "two (control)")
    np.testing.assert_allclose(one.lines[0].get_xydata(), [[5, -0.15], [-2, 0.85]])
    np.testing.assert_allclose(two.lines[0].get_xydata(), [[1, 0.15]])
    (spans,) = one.lines[2]
    np.testing.assert_allclose([span[:, 0] for span in spans.get_segments()], [[4, 8], [-3, 1]])
    low, high = axis.get_ylim()
    assert low > high  # the first on top
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"one (student)", "two (control)"}


def test_reliability_is_accuracy_by_confidence_where_there_is_any(figures):
    sums = {"count": [0, 4, 0, 16], "confidence": [0, 1.4, 0, 15], "correct": [0, 3, 0, 12]}
    plots.reliability({"a": sums, "b": {**sums, "correct": [0, 1.4, 0, 15]}})
    first, second, *left = figures[0].axes
    assert not any(axis.axison for axis in left)
    assert (first.get_title(), second.get_title()) == ("a\nECE 0.230", "b\nECE 0.000")  # (1.6 + 3) / 20
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in first.patches] == [
        (0.25, 0.25, 0.75),
        (0.75, 0.25, 0.75),
    ]
    few, many = (bar.get_facecolor()[3] for bar in first.patches)
    assert (few, many) == (pytest.approx(0.25 + 0.75 / 2), 1)
    np.testing.assert_array_equal(first.get_lines()[0].get_xydata(), [[0, 0], [1, 1]])


def test_alignment_has_a_row_for_each_of_the_teacher_s_layers(figures):
    small = {"values": [[0.9, 0.25, 0.5]], "layers": ["x", "y", "z"], "teacher_layers": ["t"]}
    large = {"values": np.zeros((5, 13)), "layers": [str(i) for i in range(13)], "teacher_layers": [*"abcde"]}
    plots.alignment({"one": small, "two": large})
    one, two = figures[0].axes[:2]
    assert [axis.get_title() for axis in (one, two)] == ["one", "two"]
    np.testing.assert_array_equal(one.images[0].get_array(), small["values"])
    assert one.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in one.get_xticklabels()] == ["x", "y", "z"]
    assert [label.get_text() for label in one.get_yticklabels()] == ["t"]
    written = [(text.get_position(), text.get_text(), text.get_color()) for text in one.texts]
    assert written == [((0, 0), "0.90", "black"), ((1, 0), "0.25", "white"), ((2, 0), "0.50", "white")]
    assert not two.texts  # too many to be read


def test_evidence_maps_name_the_class_and_what_they_are_like(figures):
    images = np.arange(2 * 4 * 6).reshape(2, 4, 6, 1).astype(np.uint8)
    maps = {name: np.random.default_rng(i).random((2, 2, 3)) for i, name in enumerate(("teacher", "student"))}
    cosines = {"teacher": np.ones(2), "student": np.array([0.25, -0.5])}
    plots.evidence_maps(images, ["cat", "dog"], maps, cosines, "teacher")
    (figure,) = figures
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["cat", "teacher\n", "student\ncosine 0.25", "dog", "", "cosine -0.50"]
    for i, axes in enumerate((figure.axes[:3], figure.axes[3:])):
        np.testing.assert_array_equal(axes[0].images[0].get_array(), images[i, ..., 0])
        for axis, found in zip(axes[1:], maps.values(), strict=True):
            below, above = axis.images
            np.testing.assert_array_equal(below.get_array(), images[i, ..., 0])
            np.testing.assert_array_equal(above.get_array(), found[i])
            assert above.get_extent() == below.get_extent()  # as large as the image
