"""How launchers are called here: by the installed command ``effjax``, or as modules of a clone of the repository."""

import re
import sys

_INSTALLED = "effjax.launch."


def this_command() -> list[str]:
    """The words that this process was started by, for who wants to start it again."""
    name = _main_module()
    if name.startswith(_INSTALLED):
        return ["effjax", name.removeprefix(_INSTALLED), *sys.argv[1:]]
    return ["python", "-m", name, *sys.argv[1:]] if name else list(sys.argv)


def as_called_here(text: str) -> str:
    """A text that names launchers, ``launch.data`` or ``python -m launch.data``, as they are called here.

    >>> as_called_here("run python -m launch.data --dataset=digits")  # no installed command runs
    'run python -m launch.data --dataset=digits'
    """
    if not _main_module().startswith(_INSTALLED):
        return text
    return re.sub(r"(?:python -m )?\blaunch\.(\w+)", r"effjax \1", text)


def _main_module() -> str:
    """The name of the module that was started; empty for a script."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else ""
