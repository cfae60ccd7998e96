r"""What students took over from their teacher, beside networks that had none:

  python -m launch.analyze --teacher=runs/digits/teacher/seed_0 --students=runs/digits/distilled/seed_0 \
      --controls=runs/digits/student/seed_0,runs/digits/student/seed_1 --out=runs/digits/analysis

  python -m launch.analyze --experiment=runs/digits --seeds=0,1,2,3 --teacher=teacher --students=distilled \
      --controls=student --out=runs/digits/analysis --results=results/distill_transfer.md

The first compares single runs; the second, by the names of an experiment's runs, all its seeds, with intervals over
them.
Writes analysis.json and analysis.html; see docs/analysis.md. A run may have a label: mine=runs/mine/student/seed_0.
"""

from absl import flags

from . import cli, flag_values

_TEACHER = flags.DEFINE_string("teacher", "", "the teacher's run: a folder that holds checkpoints/")
_STUDENTS = flags.DEFINE_list("students", [], "runs that learnt from the teacher")
_CONTROLS = flags.DEFINE_list("controls", [], "the same networks trained without a teacher; two or more show chance")
_FOREIGN = flags.DEFINE_string("foreign", "", "a run whose attack is the control; else the last of the controls")
_SPLIT = flags.DEFINE_string("split", "test", "of the dataset that the teacher was trained on")
_DATASETS = flags.DEFINE_list("datasets", [], "further datasets of the same classes and image shape, as unseen domains")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "where the datasets are prepared")
_STEP = flags.DEFINE_enum("step", "last", ["last", "best"], "which checkpoints; best is by validation")
_MAX_EXAMPLES = flags.DEFINE_integer(
    "max_examples", 2000, "of a larger split, a random part", lower_bound=8, upper_bound=2**31 - 1
)
_EPSILON = flags.DEFINE_float(
    "epsilon",
    0.0,
    "the attack's size as a share of the pixels' range; 0: the weakest that turns half the answers",
    lower_bound=0.0,
    upper_bound=1.0,
)
flag_values.finite("epsilon")
_SEED = flags.DEFINE_integer("seed", 0, "of every random draw", lower_bound=0, upper_bound=2**32 - 1)
_EXPERIMENT = flags.DEFINE_string("experiment", "", "an experiment's folder: the runs are then its runs' names")
_SEEDS = flags.DEFINE_list("seeds", [], "of the experiment, two or more")
_RESULTS = flags.DEFINE_string("results", "", "with --experiment, a Markdown file for the table")
_OUT = flags.DEFINE_string("out", "", "the folder to write to")


def main() -> None:
    from effjax.errors import UserError
    from effjax.recipes.analyze.experiment import analyze
    from effjax.recipes.analyze.seeds import analyze_seeds

    options = {
        "split": _SPLIT.value,
        "datasets": _DATASETS.value,
        "data_dir": _DATA_DIR.value,
        "which": _STEP.value,
        "max_examples": _MAX_EXAMPLES.value,
        "epsilon": _EPSILON.value,
        "seed": _SEED.value,
        "out": _OUT.value,
    }
    if _RESULTS.value and not _EXPERIMENT.value:
        raise UserError(f"--results={_RESULTS.value} is a table over seeds: it goes with --experiment")
    if not _EXPERIMENT.value:
        analyze(_TEACHER.value, _STUDENTS.value, _CONTROLS.value, foreign=_FOREIGN.value, **options)
        return
    if len(_CONTROLS.value) != 1 or not all(s.isdecimal() and len(s) < 11 for s in _SEEDS.value):
        raise UserError("--experiment wants --controls=NAME, one run, and --seeds=0,1,…, whole numbers")
    seeds, runs = [int(seed) for seed in _SEEDS.value], (_TEACHER.value, _STUDENTS.value, _CONTROLS.value[0])
    analyze_seeds(_EXPERIMENT.value, *runs, seeds, results=_RESULTS.value, **options)


if __name__ == "__main__":
    cli.run(main, required=("teacher", "students", "out"))
