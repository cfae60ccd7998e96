"""What the packages export, and every default, is what tests/interface.txt says."""

import difflib
import pathlib

from tests.interface import interface, wrapped

LISTED = pathlib.Path(__file__).with_name("interface.txt")


def test_names_and_defaults_change_by_intent_alone():
    listed, found = LISTED.read_text().splitlines(), "\n".join(map(wrapped, interface())).splitlines()
    changed = [line for line in difflib.unified_diff(listed, found, lineterm="", n=0) if line[0] in "-+"][2:]
    assert not changed, "\n".join(
        ["if this is meant: .venv/bin/python -m tests.interface > tests/interface.txt, and CHANGELOG.md", *changed]
    )
