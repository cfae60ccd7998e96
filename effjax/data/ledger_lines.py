"""The lines of a ledger's file, each with its place and a checksum of the file down to it.

A line of format 2 ends with ``"line": 17, "check": "0123456789abcdef"}``: its number in the file, from 1, and the first
16 hexadecimal digits of the SHA-256 of all bytes of the file before ``, "check"``. So no line can be lost, doubled,
moved or changed without being noticed. Lines of format 1 have neither; what is appended to such a file has both, and
its checksums hold the old lines too.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

FORMAT = 2
_CHECKED = re.compile(rb'(\{.*), "check": "([0-9a-f]{16})"\}', re.DOTALL)


class Chain:
    """What stands in a file so far: how many lines, and the digest of all their bytes.

    Attributes:
      lines: how many.
      size: their bytes.
      checked: whether the last of them has a checksum: then all that follow must have one.
    """

    def __init__(self):
        self.lines, self.size, self.checked = 0, 0, False
        self._hash = hashlib.sha256()

    def copy(self) -> "Chain":
        """A chain that goes on by itself."""
        other = Chain()
        other.lines, other.size, other.checked, other._hash = self.lines, self.size, self.checked, self._hash.copy()
        return other

    def write(self, content: Mapping[str, Any]) -> bytes:
        """Returns the next line, with its newline; the chain goes on behind it."""
        body = json.dumps({**content, "line": self.lines + 1})[:-1].encode()
        line = body + b', "check": "' + self._check(body).encode() + b'"}'
        self._go_on(line, True)
        return line + b"\n"

    def read(self, line: bytes) -> dict[str, Any]:
        """Returns what the next line says, given without its newline; the chain goes on behind it.

        Raises:
          ValueError: if it is not what was written there.
        """
        found = _CHECKED.fullmatch(line)
        if found is None and self.checked:
            raise ValueError("its checksum is missing")
        content = _object(line)
        if found is not None:
            place = content.pop("line", None)
            if place != self.lines + 1:
                raise ValueError(f"it was written as line {place}: lines are lost, doubled or in another order")
            if content.pop("check") != self._check(found[1]):
                raise ValueError("its checksum does not fit: it, or a line before it that has none, is not as written")
        self._go_on(line, found is not None)
        return content

    def fits(self, line: bytes) -> bool:
        """Whether the next line, without its newline, is whole and as it was written."""
        try:
            self.copy().read(line)
        except ValueError:
            return False
        return True

    def _check(self, body: bytes) -> str:
        whole = self._hash.copy()
        whole.update(body)
        return whole.hexdigest()[:16]

    def _go_on(self, line: bytes, checked: bool) -> None:
        self._hash.update(line + b"\n")
        self.lines, self.size, self.checked = self.lines + 1, self.size + len(line) + 1, checked


def _object(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    return content
