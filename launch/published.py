"""Prints published accuracies of distillation on CIFAR-100 beside one's own:

  python -m launch.published --workdirs=runs/resnet56_resnet20,vgg13_vgg8=runs/mine --results=results/cifar100.md

A workdir is one of configs/distill/cifar100.py, called as its pair or named with it; without any, what is published of
all pairs is printed. Nothing is trained or measured: runs that are under way show how many epochs are done. Exit codes
as for launch.train.
"""

from absl import flags

from . import cli

_WORKDIRS = flags.DEFINE_list("workdirs", [], "folders of experiments, each PAIR=folder or a folder called as its pair")
_RESULTS = flags.DEFINE_string("results", "", "a Markdown file for the tables")

flags.adopt_module_key_flags(cli)


def main() -> None:
    from effjax.recipes.train.published import compare

    print(compare(_WORKDIRS.value or [], _RESULTS.value or ""))


if __name__ == "__main__":
    cli.run(main, required=())
