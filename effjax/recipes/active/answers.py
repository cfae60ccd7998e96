"""What people write into a table: an answer, or a word for why there is none."""

import re
import unicodedata
from typing import Any

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE
from effjax.errors import nearest
from effjax.tasks import AnswerFormat

#: What may be written instead of an answer.
NO_LABEL = {"skip": SKIPPED, "unlabelable": UNLABELABLE}
_WHOLE = re.compile(r"\s*(\d+)(?:\.0+)?\s*", re.ASCII)  # a spreadsheet may make 3.0 of 3


def parse_answer(text: str, answers: AnswerFormat) -> tuple[str, Any]:
    """An event and an answer for what a person wrote.

    Letters may be composed or not. Where it is clear what is meant, capitals do not matter, and neither do zeros before
    a number, which spreadsheets take away.

    Raises:
      ValueError: saying what is allowed.
    """
    meanings = [(name, (LABELLED, answers.parse(name))) for name in answers.choices]
    meanings += [(word, (event, None)) for word, event in NO_LABEL.items() if word not in answers.choices]
    for alike in (lambda x: x, _composed, lambda x: _composed(x).casefold(), whole_number):
        found = [(name, meaning) for name, meaning in meanings if alike(name) == alike(text) is not None]
        if len(found) == 1:
            return found[0][1]
        if found:
            raise ValueError(f"{text!r} may be any of {', '.join(name for name, _ in found)}: write it as it is there")
    if not answers.choices:
        return LABELLED, answers.parse(text)
    raise ValueError(f"{text!r} is no class; {nearest(text, [*answers.choices, *NO_LABEL])}")


def whole_number(text: str) -> int | None:
    """The whole number that a cell of a table holds; None where it holds none."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
