"""Programs are compiled once, elsewhere than where training goes on; blocks are as long as platform and model like."""

import math
import threading
import time

import pytest

from effjax.runtime.programs import Programs, block_length


@pytest.fixture
def programs():
    made = Programs()
    yield made
    made.close()


def test_compiles_once_in_another_thread(programs):
    threads = []

    def build():
        threads.append(threading.get_ident())
        return lambda: 5

    for _ in range(3):
        programs.prepare("key", build)
    assert programs.get("key").program() == 5
    assert programs.get("key").program is programs.get("key").program
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
    assert programs.compiled == ["key"]


def test_preparing_does_not_wait_and_getting_says_how_long_it_did(programs):
    may_end = threading.Event()

    def build():
        may_end.wait(10)
        return print

    start = time.perf_counter()
    programs.prepare("key", build)
    assert time.perf_counter() - start < 5
    assert programs.compiled == []
    threading.Timer(0.1, may_end.set).start()
    assert programs.get("key").waited >= 0.05
    assert programs.get("key").waited < 0.05  # it is there


def test_an_error_surfaces_where_the_program_is_wanted(programs):
    def build():
        raise ValueError("does not compile")

    programs.prepare("bad", build)
    programs.prepare("good", lambda: print)
    assert programs.get("good").program is print
    with pytest.raises(ValueError, match="does not compile"):
        programs.get("bad")
    assert programs.compiled == ["good"]


def test_closing_gives_up_what_has_not_been_started(programs):
    started, may_end = threading.Event(), threading.Event()

    def first():
        started.set()
        may_end.wait(10)
        return print

    programs.prepare("first", first)
    programs.prepare("second", lambda: print)
    started.wait(10)
    threading.Timer(0.05, may_end.set).start()
    programs.close()
    assert programs.compiled == ["first"]


@pytest.mark.parametrize(
    ("platform", "convolutions", "resident", "boundaries", "limit", "expected"),
    [
        ("cpu", False, True, [640, 1280], None, (64, False)),  # dense layers: a long rolled loop
        ("cpu", True, True, [640, 1280], None, (4, True)),  # convolutions: a few unrolled steps
        ("gpu", True, True, [640, 1280], None, (32, False)),
        ("tpu", False, True, [640, 1280], None, (32, False)),
        ("cpu", False, False, [640, 1280], None, (1, False)),  # every step waits for its batch
        ("gpu", True, False, [640, 1280], None, (1, False)),
        ("cpu", False, True, [60, 84], None, (12, False)),  # fits between all boundaries
        ("cpu", False, True, [7, 11], None, (1, False)),
        ("cpu", True, True, [6, 9], None, (3, True)),
        ("cpu", True, True, [7, 9], None, (1, False)),  # a block of one step is no loop
        ("cpu", False, True, [640], 10, (10, False)),
        ("cpu", False, True, [640], 7, (5, False)),
        ("gpu", False, True, [640], 500, (32, False)),
    ],
)
def test_block_length(platform, convolutions, resident, boundaries, limit, expected):
    assert block_length(platform, convolutions, resident, boundaries, limit) == expected


@pytest.mark.parametrize("limit", [None, 1, 3, 48])
@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_no_block_crosses_a_boundary(platform, limit):
    for boundaries in ([120, 40, 20], [2048, 96], [17, 51], [1]):
        length, _ = block_length(platform, False, True, boundaries, limit)
        assert 1 <= length <= (limit or math.inf)
        assert all(boundary % length == 0 for boundary in boundaries)
