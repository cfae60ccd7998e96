"""The progress line: what it says, how often, and to whom."""

import pytest

from effjax.runtime import progress as module
from effjax.runtime.progress import Progress


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_line_in_a_log_file(clock, capsys):
    shown = Progress("student seed 0", total_steps=100, start_step=20, batch_size=8, every=10.0)
    clock.now += 20.0
    shown.update(60, {"loss": 1.23456, "acc": 0.5, "best val acc": 0.875})
    out, err = capsys.readouterr()
    assert out == ""
    # 40 steps of 8 images in 20 s, 40 steps to go
    line = "student seed 0  60/100  loss 1.235  acc 50.0%  best val acc 87.5%  16 images/s  left 00:20\n"
    assert err == line
    assert shown.images_per_second == 16.0


def test_now_and_then_and_at_the_end(clock, capsys):
    shown = Progress("run", total_steps=30, start_step=0, batch_size=1, every=10.0)
    for step in range(1, 31):
        clock.now += 1.0
        shown.update(step, {"loss": 1.0})
    steps = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert steps == ["10/30", "20/30", "30/30"]
    shown = Progress("run", total_steps=30, start_step=0, batch_size=1, every=1e9)
    shown.update(30, {"loss": 1.0})  # the end always
    assert "30/30" in capsys.readouterr().err


def test_on_a_terminal_lines_take_one_another_s_place(clock, capsys, monkeypatch):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    shown = Progress("run", total_steps=30, start_step=0, batch_size=1)
    for step in (1, 2):
        clock.now += 0.3
        shown.update(step, {"loss": 1.0})
    clock.now += 0.1
    shown.update(3, {"loss": 1.0})  # too soon
    shown.print("done", final=True)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.endswith("done\n")
    assert [part.split()[1] for part in err.split("\r\x1b[K")[1:-1]] == ["1/30", "2/30"]


def test_only_the_primary_process_talks(clock, capsys, monkeypatch):
    monkeypatch.setattr(module.jax, "process_index", lambda: 1)
    shown = Progress("run", total_steps=3, start_step=0, batch_size=1, every=0.0)
    shown.update(3, {"loss": 1.0})
    shown.print("done", final=True)
    assert capsys.readouterr().err == ""
