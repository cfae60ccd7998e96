"""The examples in the docstrings of the pure functions are true, and their docstrings say all that they should."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import effjax

PURE = (
    "analysis",
    "boxes",
    "curricula",
    "images",
    "losses",
    "metrics",
    "pruning",
    "quantization",
    "selection",
    "uncertainty",
)
MODULES = [
    f"effjax.{package}.{module.name}"
    for package in PURE
    for module in pkgutil.iter_modules([f"{effjax.__path__[0]}/{package}"])
]


NUMBER = re.compile(r"-?\d+\.\d*(?:e[-+]\d+)?")


class Rounded(doctest.OutputChecker):
    """Finds numbers equal that differ by rounding: docstrings show four digits, and no machine's last bit."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if want == got:
            return True
        numbers = [[float(number) for number in NUMBER.findall(text)] for text in (want, got)]
        texts = ["".join(NUMBER.sub("#", text).split()) for text in (want, got)]
        return texts[0] == texts[1] and numbers[0] == pytest.approx(numbers[1], abs=6e-5)


@pytest.mark.parametrize("name", [*MODULES, "effjax.errors", "effjax.command"])
def test_examples(name):
    runner = doctest.DocTestRunner(Rounded(), verbose=False)
    for example in doctest.DocTestFinder().find(importlib.import_module(name)):
        runner.run(example)
    assert not runner.summarize(verbose=False).failed  # what differs has been printed


def test_examples_can_fail():
    differs = Rounded().check_output
    assert differs("Array([0.4, 0.6])", "Array([0.39999998, 0.6      ])", 0)
    assert not differs("Array([0.4, 0.6])", "Array([0.401, 0.6])", 0)
    assert not differs("Array([0.4, 0.6])", "Array([0.4])", 0)
    assert not differs("1.0", "1", 0)


def test_there_are_examples_of_all_packages():
    finder = doctest.DocTestFinder()
    for package in PURE:
        modules = [importlib.import_module(name) for name in MODULES if name.startswith(f"effjax.{package}.")]
        assert sum(len(found.examples) for module in modules for found in finder.find(module)) >= 4, package


@pytest.mark.parametrize("package", PURE)
def test_docstrings_say_what_goes_in_what_comes_out_and_what_is_refused(package):
    """Of each function that a package exports: every argument, the result, and errors where it raises some itself."""
    module = importlib.import_module(f"effjax.{package}")
    for name, function in inspect.getmembers(module, inspect.isfunction):
        said = inspect.getdoc(function)
        missing = [
            a for a in inspect.signature(function).parameters if not re.search(rf"^  \*?{a}: ", said, re.MULTILINE)
        ]
        assert not missing, (name, missing)
        assert "\nReturns:\n  " in said, name
        if re.search(r"\braise |chex\.assert", inspect.getsource(function)):
            assert "\nRaises:\n  " in said, name
