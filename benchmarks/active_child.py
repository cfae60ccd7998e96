"""What a timing process of the active-learning benchmark does, effjax's and its peers'. Needs only numpy."""

import argparse
import json
import resource
import time
from collections.abc import Callable, Mapping

import numpy as np

MODES = ("time", "once", "nothing")


def report(
    functions: Callable[[str, Mapping[str, np.ndarray]], Mapping[str, Callable[[], Mapping[str, np.ndarray]]]],
    pools: Mapping[str, Callable[[], Mapping[str, np.ndarray]]],
    facts: Callable[[], Mapping[str, object]],
) -> None:
    """Times a row's functions in turn and prints one line of JSON.

    Args:
      functions: from a row and its pool to what is timed, by name: functions that return what they have found.
      pools: by row.
      facts: what else the line says, asked for at the end.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--row", choices=list(pools), required=True)
    parser.add_argument("--mode", choices=MODES, default="time", help="what is not timed may have its memory measured")
    parser.add_argument("--rounds", type=int, default=1, help="after one for warming up, unless there is only one")
    parser.add_argument("--found", help="where to write what the functions have found, an .npz file")
    arguments = parser.parse_args()
    timed = functions(arguments.row, pools[arguments.row]())
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    found: dict[str, np.ndarray] = {}
    for _ in range({"time": arguments.rounds + (arguments.rounds > 1), "once": 1, "nothing": 0}[arguments.mode]):
        for name, function in timed.items():
            start = time.perf_counter()
            answer = function()
            seconds[name].append(time.perf_counter() - start)
            found.update({f"{name}/{key}": np.asarray(value) for key, value in answer.items()})
            if arguments.mode == "once":
                break  # memory is of the first alone
    if arguments.found:
        np.savez(arguments.found, **found)
    line = {
        "first": {name: several[0] for name, several in seconds.items() if several},
        "seconds": {name: several[1:] or several for name, several in seconds.items()},
        "peak_bytes": peak_bytes(),
        **facts(),
    }
    print(json.dumps(line))


def peak_bytes() -> int:
    """The most memory that this process has had."""
    try:
        with open("/proc/self/status") as file:  # ru_maxrss counts what the parent had when it started this process
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
