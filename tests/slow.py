"""Which tests only the nightly run has: ``tests/slow.txt``, made of what each took.

  bash launch/test.sh --slow --durations=0 -vv | .venv/bin/python -m tests.slow > tests/slow.txt

What takes long and has a shorter relative goes, so that a change is tested in ten minutes on two cores: of one thing in
many forms (kills of every recipe, every setting in a loop of an ensemble) the first stays, and of a test's forms those
that take a moment, or the quickest.
"""

import collections
import fnmatch
import re
import sys

LEAST = 1.5  # seconds, from which on a test may go
LEAST_OF_MANY = 0.5  # and one of a test's forms, if another stays
#: What stays, however long it takes: one of each kind.
KEPT = (
    "tests/data/test_workers.py::test_a_killed_reader_is_started_again_and_the_batches_are_the_same",
    "tests/end_to_end/test_kill.py::*",
    "tests/end_to_end/test_active_loop.py::test_kills_leave_no_trace",
    "tests/end_to_end/test_best.py::test_stopped_twice_after_the_best_and_a_bit_that_flips_in_between",
    "tests/end_to_end/test_experiment.py::*",
    "tests/end_to_end/test_sharing.py::*",
    "tests/export/test_edge.py::*",
    "tests/faults/test_campaign.py::test_stops_leave_no_trace[[]together[]]",
    "tests/multiprocess/test_devices.py::*first0-then0*",
    "tests/multiprocess/test_missing.py::test_one_is_asked_to_stop",
    "tests/multiprocess/test_one_writer.py::test_the_first_process_holds_the_folder_and_all_others_are_told",
    "tests/recipes/test_active_parts.py::test_seeds_together_ask_for_what_each_would_ask_alone",
    "tests/recipes/test_compress.py::*",
    "tests/recipes/test_guide.py::*",
    "tests/recipes/test_results.py::*",
    "tests/recipes/test_through.py::*",
    "tests/reports/test_augmentation_sheet.py::*",
    "tests/runtime/test_sparse_runs.py::*gradual*",
    "tests/steps/test_bits_in_a_state.py::test_pruned_weights_stay_zero_in_few_bits",
    "tests/steps/test_bits_in_a_state.py::test_what_was_measured_before_does_not_count",
    "tests/tasks/test_toy_task.py::*",
)
#: Files that go whole: what is expensive is what their tests share, or they have a relative in another file.
WHOLE = (
    "tests/end_to_end/test_detector.py",
    "tests/end_to_end/test_kill_memory.py",
    "tests/end_to_end/test_kill_pruned.py",
    "tests/end_to_end/test_kill_views.py",
    "tests/end_to_end/test_questions_loop.py",
    "tests/recipes/test_box_guide.py",
    "tests/recipes/test_label_guide.py",
)
_LINE = re.compile(r"^([\d.]+)s (call|setup|teardown)\s+(\S.*)$")


def slow(lines) -> list[str]:
    """The tests to leave out, from pytest's list of durations."""
    spent: dict[str, float] = collections.defaultdict(float)
    for line in lines:
        if found := _LINE.match(line.strip()):
            spent[found[3]] += float(found[1]) if found[2] == "call" else 0.0
    free = {name: took for name, took in spent.items() if not any(fnmatch.fnmatch(name, kept) for kept in KEPT)}
    goes = {name for name, took in free.items() if took >= LEAST}
    forms: dict[str, list[str]] = collections.defaultdict(list)
    for name in sorted(spent, key=lambda name: spent[name]):
        forms[name.partition("[")[0]].append(name)
    for each in forms.values():
        stay = [name for name in each if name not in goes]
        goes |= {name for name in stay[1:] if name in free and free[name] >= LEAST_OF_MANY}
    return sorted(goes | {name for name in spent if name.startswith(WHOLE)})


if __name__ == "__main__":
    print("\n".join(slow(sys.stdin)))
