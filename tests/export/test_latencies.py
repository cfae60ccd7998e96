"""Times of files: who is called how often, on what."""

import numpy as np
import pytest

from effjax.export import latencies, measure


class Session:
    """Counts its calls; a clock of the tests' own says how long each takes."""

    def __init__(self, kind: str, milliseconds: list[float], clock: list[int]):
        self.kind, self.milliseconds, self.clock, self.seen = kind, milliseconds, clock, []
        self.type, self.shape = kind, ["batch", 2, 3, 1]

    def get_inputs(self):
        return [self]

    def run(self, names, given):
        self.clock[0] += int(self.milliseconds[len(self.seen) % len(self.milliseconds)] * 1e6)
        self.seen.append(given["images"])


@pytest.fixture
def sessions(monkeypatch):
    clock = [0]
    found = {
        "float": Session("tensor(float)", [9.0, 1.0, 9.0, 2.0, 9.0, 6.0], clock),
        "bytes": Session("tensor(uint8)", [0.5], clock),
    }
    monkeypatch.setattr(measure, "onnx_session", found.get)
    monkeypatch.setattr(measure.time, "perf_counter_ns", lambda: clock[0])
    return found


def test_the_second_of_two_calls_is_timed_and_warm_up_is_not(sessions):
    found = latencies({"float": "float", "bytes": "bytes"}, (1, 4), rounds=3, warm_up=3)
    assert found["float"] == {1: measure.Latency(1.0, 2.0), 4: measure.Latency(1.0, 2.0)}
    assert found["bytes"] == {1: measure.Latency(0.5, 0.5), 4: measure.Latency(0.5, 0.5)}
    for session in sessions.values():
        assert [len(images) for images in session.seen] == [1] * 12 + [4] * 12


def test_images_are_what_the_file_reads(sessions):
    latencies({"float": "float", "bytes": "bytes"}, (2,), rounds=1, warm_up=0)
    images = {name: session.seen[0] for name, session in sessions.items()}
    assert images["float"].dtype == np.float32
    assert images["bytes"].dtype == np.uint8
    assert images["float"].shape == images["bytes"].shape == (2, 2, 3, 1)
    np.testing.assert_allclose(images["float"], images["bytes"] / 255, rtol=1e-6)


def test_nothing_is_timed_where_there_is_nothing():
    assert latencies({}) == {}
