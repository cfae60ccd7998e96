"""The one error that is the user's to mend.

A launcher prints its message as a single line and exits with code 1; anything else is a bug and keeps its traceback.
"""

import difflib
import unicodedata
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user gave (a config value, a path, an image) cannot be used. The message says what to do."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Returns ``allowed: a, b, c (did you mean 'b'?)`` for an error about an unknown ``name``."""
    allowed = sorted(allowed)
    close = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"allowed: {', '.join(allowed)}{hint}"


class Diverged(UserError):
    """A loss or a gradient is no longer finite."""


#: Unicode's categories of what a terminal acts upon instead of showing: control characters, marks that turn the
#: direction of writing, halves of pairs, ends of lines and paragraphs.
_ACTS = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: str) -> str:
    """A message as one line that a terminal only shows: of names that others chose, what it would act upon is escaped.

    >>> printable("no class 'cat\\x1b[2J'")
    "no class 'cat\\\\x1b[2J'"
    """
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in _ACTS else c for c in text)
