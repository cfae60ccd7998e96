"""Finds a curriculum of sizes for a compute budget, from measured step times:

  python -m launch.budget --config=configs/curriculum/efficienttrain_digits.py --run=baseline --cost=0.7

prints what a step takes at EfficientTrain's sizes on this machine, and the plans to put into the config. Nothing is
trained. Exit codes as for launch.train.
"""

from absl import flags

from . import cli, config_file, flag_values

_CONFIG = config_file.define("file.py or file.py:variant")
_RUN = flags.DEFINE_string("run", "", "the run of the config that is to follow the curriculum")
_COST = flags.DEFINE_float("cost", None, "of the run, over one of as many steps at full size, e.g. 0.7")
flag_values.above_0("cost")
_WORKDIR = flags.DEFINE_string("workdir", "/tmp/effjax_budget", "any folder that can be written")

flags.adopt_module_key_flags(cli)


def main() -> None:
    from effjax.recipes.train.budget import plan_for_budget

    assert _COST.value is not None  # it is required
    found = plan_for_budget(config_file.read(_CONFIG), _WORKDIR.value, _RUN.value, _COST.value)
    full = max(found["seconds"])
    for size, seconds in sorted(found["seconds"].items()):
        print(f"{size} pixels: {1e3 * seconds:.2f} ms a step, {seconds / found['seconds'][full]:.2f} of {full} pixels")
    print(f"predicted cost: {found['cost']:.2f} of a run at full size")
    for setting, pieces in found["plans"].items():
        print(
            f"config.runs.{_RUN.value}.plans.{setting} = {tuple((round(start, 4), value) for start, value in pieces)}"
        )


if __name__ == "__main__":
    cli.run(main, required=("config", "run", "cost", "workdir"))
