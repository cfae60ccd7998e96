"""The command ``effjax``: ``effjax train --config=…`` is ``python -m launch.train --config=…``, and so for every other.

In a clone of the repository, without an installation, ``python -m launch train --config=…`` is the same.
"""

import os
import runpy
import sys

from effjax import __version__, signals
from effjax.errors import nearest, printable

#: What each launcher does, in the order in which most people need them.
LAUNCHERS = {
    "data": "prepares a dataset, or looks at a folder of images, and describes it",
    "train": "runs an experiment: teachers, students, their report",
    "evaluate": "evaluates a trained run on a split",
    "analyze": "measures what students took over from their teacher",
    "published": "prints published accuracies of distillation beside one's own",
    "active": "runs labelling loops: train, choose, ask, train again",
    "export": "writes a trained network as a file for other runtimes",
    "compress": "trains, exports and measures small networks as files",
    "query": "chooses what to label next from a folder of images",
    "budget": "finds a curriculum of image sizes for a compute budget",
}


def main() -> None:
    """Runs the launcher that the first argument names as ``python -m`` would; its exit code is the command's."""
    signals.install()
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("--help", "-h", "-help", "help", ""):
        print(_help(), file=sys.stdout if name else sys.stderr)
        sys.exit(0 if name else 1)
    if name == "--version":
        print(f"effjax {__version__}")
        sys.exit(0)
    if name not in LAUNCHERS:
        print(f"error: there is no command {printable(repr(name))}; {nearest(name, LAUNCHERS)}", file=sys.stderr)
        sys.exit(1)
    del sys.argv[1]
    sys.path.append(os.getcwd())  # configs import one another from where the command is given, as with python -m
    try:
        runpy.run_module(f"{__package__}.{name}", run_name="__main__", alter_sys=True)
    except signals.Interrupted as stopped:  # while the launcher was being imported
        print(f"{stopped}; run the same command to go on", file=sys.stderr)
        sys.exit(signals.EXIT_INTERRUPTED)


def _help() -> str:
    width = max(map(len, LAUNCHERS))
    lines = [f"  effjax {name:{width}}  {does}" for name, does in LAUNCHERS.items()]
    return "\n".join(
        ["Efficient computer vision in JAX. The commands:", "", *lines, "", "effjax COMMAND --help says more."]
    )


if __name__ == "__main__":
    main()
