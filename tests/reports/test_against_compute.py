"""Accuracy against compute: the line goes through the baseline's lengths, every other run is a dot."""

import io

import numpy as np
from PIL import Image

from effjax.reports.against_compute import plot_against_compute


def picture(path, accuracies, compute, methods):
    summary = {name: {"seeds": [{"test/accuracy": one} for one in seeds]} for name, seeds in accuracies.items()}
    plot_against_compute(path, compute, summary, {"info": "InfoBatch"}, methods, "test/accuracy")
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("L"))


def test_it_is_drawn_whatever_the_order_of_the_runs(tmp_path):
    accuracies = {"whole": [0.95, 0.96], "short": [0.90, 0.92], "info": [0.93, 0.94], "rho": [0.91, 0.93]}
    compute = {"whole": 2.5, "short": 1.0, "info": 1.0, "rho": 1.0}
    drawn = picture(tmp_path / "a.png", accuracies, compute, [["short", "whole"], ["info"], ["rho"]])
    again = picture(tmp_path / "b.png", accuracies, compute, [["whole", "short"], ["info"], ["rho"]])
    np.testing.assert_array_equal(drawn, again)
    assert (drawn < 128).mean() > 0.005
    other = picture(
        tmp_path / "c.png", {**accuracies, "rho": [0.85, 0.86]}, compute, [["short", "whole"], ["info"], ["rho"]]
    )
    assert (drawn != other).any()
