"""Batches that are opened ahead are the same batches, and readers are given back."""

import threading

import numpy as np
import pytest
from conftest import ArraySource
from small_runs import BATCH, make_task, start

from effjax.data.feeds import StreamFeed
from effjax.runtime import fit
from effjax.runtime.prefetch import Prefetch


def counting(closed, count=3):
    try:
        yield from range(count)
    finally:
        closed.append(True)


def test_nothing_is_lost_or_doubled():
    closed = []
    assert list(Prefetch(counting(closed))) == [0, 1, 2]
    assert list(Prefetch(counting(closed, 0))) == []
    assert closed == [True, True]


def test_readers_are_given_back_unused():
    closed = []
    Prefetch(counting(closed)).close()
    assert closed == [True]


def test_what_is_being_opened_is_waited_for():
    """A generator that runs in another thread cannot be closed."""
    goes_on, closed = threading.Event(), []

    def slow():
        try:
            goes_on.wait(10)
            yield 1
        finally:
            closed.append(True)

    opened = Prefetch(slow())
    threading.Timer(0.2, goes_on.set).start()
    opened.close()
    assert closed == [True]
    assert not any(thread.name.startswith("prefetch") for thread in threading.enumerate())


def test_what_fails_in_the_background_is_said():
    def broken():
        raise OSError("cannot read")
        yield

    with pytest.raises(OSError, match="cannot read"):
        list(Prefetch(broken()))


def test_a_stage_is_opened_before_it_begins(tmp_path):
    source, opened = ArraySource(40), []

    class Watched(StreamFeed):
        def blocks(self, settings, seeds, first, stop, length):
            opened.append((first, threading.current_thread() is threading.main_thread()))
            yield from super().blocks(settings, seeds, first, stop, length)

    plans = {"trainable": [[0.0, "student/classifier/.*"], [0.5, ".*"]]}
    ahead = make_task(source, plans=plans, feed=Watched({"train": source}, BATCH), validate=False)
    plain = make_task(source, plans=plans, validate=False)
    streamed = fit(ahead, start(ahead), workdir=tmp_path / "ahead", identity={})
    resident = fit(plain, start(plain), workdir=tmp_path / "plain", identity={})
    assert opened == [(0, True), (12, False)]
    kernels = [fitted.state.params["student"]["classifier"]["kernel"] for fitted in (streamed, resident)]
    np.testing.assert_allclose(*kernels, atol=1e-6)
