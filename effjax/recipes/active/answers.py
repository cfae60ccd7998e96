"""What people write into a table: an answer, or a word for why there is none."""

import re
import unicodedata
from typing import Any

from effjax.data.ledger import LABELLED, SKIPPED, UNLABELABLE
from effjax.errors import nearest, shown
from effjax.tasks import AnswerFormat

#: What may be written instead of an answer.
NO_LABEL = {"skip": SKIPPED, "unlabelable": UNLABELABLE}
# A spreadsheet may make 3.0 of 3. Python reads no number of thousands of digits, and nobody counts so far.
_WHOLE = re.compile(r"\s*0*(\d{1,18})(?:\.0+)?\s*", re.ASCII)


def words_for_no_label(answers: AnswerFormat) -> list[str]:
    """What may be written instead of an answer; a class of that name takes the word."""
    return [word for word in NO_LABEL if word not in answers.choices]


def parse_answer(text: str, answers: AnswerFormat) -> tuple[str, Any]:
    """An event and an answer for what a person wrote.

    Letters may be composed or not. Where it is clear what is meant, capitals do not matter, and neither do zeros before
    a number, which spreadsheets take away.

    Raises:
      ValueError: saying what is allowed.
    """
    meanings = [(name, (LABELLED, answers.parse(name))) for name in answers.choices]
    meanings += [(word, (NO_LABEL[word], None)) for word in words_for_no_label(answers)]
    for alike in (lambda x: x, _composed, lambda x: _composed(x).strip().casefold(), whole_number):
        found = [(name, meaning) for name, meaning in meanings if alike(name) == alike(text) is not None]
        if len(found) == 1:
            return found[0][1]
        if found:
            raise ValueError(f"{text!r} may be any of {', '.join(name for name, _ in found)}: write it as it is there")
    if not answers.choices:
        return LABELLED, answers.parse(text)
    raise ValueError(f"{shown(text)} is no class; {nearest(text, [name for name, _ in meanings])}")


def whole_number(text: str) -> int | None:
    """The whole number that a cell of a table holds; None where it holds none."""
    found = _WHOLE.fullmatch(text)
    return int(found[1]) if found else None


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
