"""Messages that show names which others chose."""

import pytest

from effjax.errors import nearest, printable


@pytest.mark.parametrize(
    "name", ["cat\x1b[2J", "a\nb", "a\rb", "a\u202egpj.b", "a\x00", "a\x9b31m", "a\u2028b", "a\ud800b"]
)
def test_a_terminal_obeys_no_name(name):
    shown = printable(f"no class {name!s}; allowed: cat")
    assert shown.isprintable()
    assert shown.startswith("no class ")
    assert shown.endswith("; allowed: cat")
    assert shown.encode()


def test_what_can_be_shown_stays():
    text = "größe 24×20 “猫” don't, it's \\ '…'\u00a0!"
    assert printable(text) == text


def test_of_many_names_the_closest_are_listed():
    names = [f"network_{i:03}" for i in range(200)]
    said = nearest("netwrk_017", names)
    assert len(said) < 300
    assert "network_017, " in said
    assert said.endswith(", … (200 in all) (did you mean 'network_017'?)")
