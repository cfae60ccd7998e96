"""The lines of metrics.jsonl up to a checkpoint: those that are lost or damaged are said, and not passed over."""

import collections
import itertools
import json
import zlib
from collections.abc import Sequence
from typing import Any, cast

_WIDTH = 8


def checksum(line: bytes) -> str:
    """Of a line without its end."""
    return f"{zlib.crc32(line):0{_WIDTH}x}"


def up_to(data: bytes, step: int, sums: str | None) -> tuple[list[bytes], list[str]]:
    """The lines of a file that belong to a run up to a step, in order, without their ends.

    Args:
      data: the file's.
      step: of the checkpoint.
      sums: the checksums of all lines that were written up to it, one after the other; None where it does not say.

    Returns:
      The lines that are as they were written, and what is wrong with the others, a clause each.
    """
    lines = data.split(b"\n")
    if sums is None:
        return _by_steps(lines, step)
    written = [sums[start : start + _WIDTH] for start in range(0, len(sums), _WIDTH)]
    there = collections.defaultdict(collections.deque)
    for line in lines:
        there[checksum(line)].append(line)
    found = [there[own].popleft() if there[own] else None for own in written]
    return [line for line in found if line is not None], _holes(found, step)


def parsed(line: bytes) -> dict[str, Any] | None:
    """What a line says; None if it is damaged."""
    try:
        values = json.loads(line.decode())
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("step"), int) else None


def _step(line: bytes | None) -> int:
    """That of a line which is as it was written."""
    return json.loads(cast(bytes, line))["step"]


def _holes(found: Sequence[bytes | None], step: int) -> list[str]:
    """Which of the lines are missing, and between which steps."""
    holes, number, before = [], 1, 0
    groups = [(lost, list(group)) for lost, group in itertools.groupby(found, lambda line: line is None)]
    for index, (lost, group) in enumerate(groups):
        if lost:
            last = number + len(group) - 1
            which = f"line {number} is" if last == number else f"lines {number} to {last} are"
            after = step if index + 1 == len(groups) else _step(groups[index + 1][1][0])
            holes.append(f"{which} lost or damaged (from step {before} to step {after})")
        else:
            before = _step(group[-1])
        number += len(group)
    return holes


def _by_steps(lines: Sequence[bytes], step: int) -> tuple[list[bytes], list[str]]:
    """The same where no checkpoint says what was written: what has no end was being written when the run was killed."""
    kept, damaged = [], []
    for number, line in enumerate(lines[:-1], 1):
        values = parsed(line)
        if values is None:
            damaged.append(f"line {number} is damaged")
        elif values["step"] > step:
            break
        else:
            kept.append(line)
    return kept, damaged
