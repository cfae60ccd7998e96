"""What can be wrong with a config file: one line that names the file, and the line that is to blame."""

import ml_collections
import pytest

from effjax.errors import UserError
from launch.config_file import _Parser

START = "import ml_collections\n\n\ndef get_config(*variant):\n"

BROKEN = {
    "raises": (f"{START}    return undefined", "line 5: NameError: name 'undefined' is not defined"),
    "raises elsewhere": (f"{START}    return int('x')", "line 5: ValueError: invalid literal for int()"),
    "raises in several lines": (f"{START}    raise ValueError('one\\n  two')", "line 5: ValueError: one two"),
    "raises while it is read": ("x = 1\ny = {}['a']\n", "line 2: KeyError: 'a'"),
    "no Python": ("x = 1\ndef (:\n", "line 2: SyntaxError: invalid syntax"),
    "a missing import": ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError: No module named 'nothing"),
    "a missing file": (f"{START}    return open('nowhere')", "line 5: FileNotFoundError: "),
    "ends the program": ("import sys\nsys.exit(3)\n", "line 2: it ends the program"),
    "quits": (f"{START}    raise SystemExit", "line 5: it ends the program"),
    "interrupts itself": (f"{START}    raise KeyboardInterrupt", "line 5: KeyboardInterrupt"),
    "no text": ("x = 1\0\n", "mine.py: SyntaxError: source code"),
    "no get_config": ("x = 1\n", "has no function get_config()"),
    "get_config is none": ("get_config = 3\n", "has no function get_config()"),
    "no variants": ("def get_config():\n    pass\n", "TypeError: get_config() takes 0 positional arguments"),
    "a dictionary": (f"{START}    return {{'seed': 1}}", "get_config() returned a dict, not a ConfigDict"),
    "nothing": (f"{START}    pass", "get_config() returned nothing, not a ConfigDict"),
    "recursion": ("def get_config(variant):\n    return get_config(variant)", "line 2: RecursionError: "),
    "another type": (
        f"{START}    config = ml_collections.ConfigDict({{'a': 1}})\n    config.a = 'b'\n    return config",
        "line 6: TypeError: ",
    ),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN)
def test_one_line_with_the_line_of_the_file(text, said, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        _Parser().parse(f"{path}:tiny")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"--config={path}:tiny: ")
    assert said in message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "--config=: is a folder"),
        ("nowhere.py", "--config=nowhere.py: there is no such file"),
        ("configs", "--config=configs: is a folder"),
        ("configs/distill/digits.py:tinny", "--config=…:tinny is not a variant; allowed: .*did you mean 'tiny'"),
        ("results/distill_digits.png", "--config=results/distill_digits.png: .*Error"),
    ],
)
def test_what_is_no_config(given, said):
    with pytest.raises(UserError, match=said):
        _Parser().parse(given)


def test_what_a_config_says(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"{START}    return ml_collections.ConfigDict({{'variant': variant}})")
    parser = _Parser()
    assert parser.parse(str(path)).variant == ()
    assert parser.parse(f"{path}:").variant == ("",)
    found = parser.parse(f"{path}:a:b")
    assert found.variant == ("a:b",)
    assert isinstance(found, ml_collections.ConfigDict)
    assert found.is_locked
