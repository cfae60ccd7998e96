"""The one error that is the user's to mend.

A launcher prints its message as a single line and exits with code 1; anything else is a bug and keeps its traceback.
"""

import contextlib
import difflib
import unicodedata
from collections.abc import Collection, Generator, Iterable
from typing import Any

_LISTED, _CLOSEST = 480, 12  # characters of names that are all listed; how many of more than that
_SHOWN = 80  # characters of a value in a message


class UserError(ValueError):
    """Something the user gave (a config value, a path, an image) cannot be used. The message says what to do."""


class Mistakes(UserError):
    """Several things that the user gave cannot be used: what is found at once is said at once.

    Attributes:
      lines: a line for each.
    """

    def __init__(self, lines: Iterable[str]):
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


def refuse(lines: Iterable[str]) -> None:
    """Refuses what has mistakes, all of them at once.

    Args:
      lines: a line for each mistake.

    Raises:
      UserError: if there are any.
    """
    lines = tuple(dict.fromkeys(lines))
    if lines:
        raise UserError(lines[0]) if len(lines) == 1 else Mistakes(lines)


@contextlib.contextmanager
def noted(lines: list[str], key: str) -> Generator[None, None, None]:
    """Notes what is refused inside, so that what comes after it can be looked at too; for :func:`refuse`.

    Args:
      lines: that it is added to.
      key: of the config, said where a message does not say it.
    """
    try:
        yield
    except UserError as error:
        found = error.lines if isinstance(error, Mistakes) else (str(error),)
        lines.extend(line if key in line else f"{key}: {line}" for line in found)


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Returns ``allowed: a, b, c (did you mean 'b'?)`` for an error about an unknown ``name``; of many the closest."""
    allowed = sorted(allowed)
    close = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    listed = ", ".join(allowed)
    if len(listed) > _LISTED:
        closest = difflib.get_close_matches(str(name), allowed, n=_CLOSEST, cutoff=0)
        listed = f"{', '.join(sorted(closest))}, … ({len(allowed)} in all)"
    return f"allowed: {listed}{hint}"


def check_known(name: Any, allowed: Collection[Any], said: str) -> None:
    """Refuses a name that is not there.

    Args:
      name: as the user has given it.
      allowed: all that there are.
      said: what is wrong with any other.

    Raises:
      UserError: ``said``, and what is allowed.
    """
    if name not in allowed:
        raise UserError(f"{said}; {nearest(name, allowed)}")


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    try:
        said = repr(tuple(value) if isinstance(value, list) else value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"


class Diverged(UserError):
    """A loss or a gradient is no longer finite."""


#: Unicode's categories of what a terminal acts upon instead of showing: control characters, marks that turn the
#: direction of writing, halves of pairs, ends of lines and paragraphs.
_ACTS = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    r"""A message as one line that a terminal only shows: of names that others chose, what it would act upon is escaped.

    >>> printable("no class 'cat\x1b[2J'")
    "no class 'cat\\x1b[2J'"
    """
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in _ACTS else c for c in text)
