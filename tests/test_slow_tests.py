"""What the nightly run alone has: the list is of tests that there are, and made as it says."""

import fnmatch
import pathlib

from tests.slow import KEPT, WHOLE, slow

TESTS = pathlib.Path(__file__).parent


def names() -> list[str]:
    return (TESTS / "slow.txt").read_text().splitlines()


def exists(name: str) -> bool:
    file, _, test = name.partition("::")
    return f"def {test.partition('[')[0]}(" in (TESTS.parent / file).read_text()


def test_the_list_is_of_tests_that_there_are():
    assert names() == sorted(set(names()))
    assert not [name for name in names() if not exists(name)]
    assert not [name for name in names() if any(fnmatch.fnmatch(name, kept) for kept in KEPT)]


def test_every_file_that_has_a_slow_test_has_a_quick_one_but_for_those_that_go_whole():
    for file in {name.partition("::")[0] for name in names()} - set(WHOLE):
        text = (TESTS.parent / file).read_text()
        tests = {line[4:].partition("(")[0] for line in text.splitlines() if line.startswith("def test_")}
        left = {name.partition("::")[2] for name in names() if name.startswith(f"{file}::")}
        assert tests - left, file


def test_what_takes_long_and_is_not_kept_goes():
    lines = [
        "12.00s call     tests/a.py::test_long[x y]",
        "12.00s setup    tests/a.py::test_whose_fixture_is_long",
        "0.50s call     tests/a.py::test_whose_fixture_is_long",
        "12.00s call     tests/end_to_end/test_kill.py::test_ten_kills_leave_no_trace",
        "0.01s call     tests/end_to_end/test_detector.py::test_it_trains_is_taught_and_reported",
        *(f"{0.4 + number / 5}s call     tests/b.py::test_in_forms[{number}]" for number in range(4)),
        "0.90s call     tests/b.py::test_of_one_form",
        *(f"{1 + number / 5}s call     tests/b.py::test_whose_forms_are_long[{number}]" for number in range(3)),
        "=== 4 passed in 12.00s call ===",
    ]
    assert slow(lines) == [
        "tests/a.py::test_long[x y]",
        *(f"tests/b.py::test_in_forms[{number}]" for number in (1, 2, 3)),
        *(f"tests/b.py::test_whose_forms_are_long[{number}]" for number in (1, 2)),
        "tests/end_to_end/test_detector.py::test_it_trains_is_taught_and_reported",
    ]
