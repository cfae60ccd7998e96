"""Ways to a small file, beside one another: few bits, few channels, few weights, each with a teacher and without.

  python -m launch.data --dataset=digits --data_dir=data
  python -m launch.compress --config=configs/compress/digits.py --workdir=runs/compress \
      --results=results/compress_digits.md

On 5,000 real digits. The teacher is a ResNet-20, the student a ResNet-8. After training: 8 and 4 bits. While training,
over the last two fifths of a run of the same length: 8 bits, and 4 with labels alone or with the teacher's stored
answers. Half of the channels and two of four weights go after three tenths of a run, 80 and 90 % of the weights along
a cubic ramp. Every file differs from its control in one thing.
Cost: COST on two CPU cores. Expected: results/compress_digits.md. Variant ``tiny``: a minute or two, no result.

Sources: Esser et al. 2020 (https://arxiv.org/abs/1902.08153), Zhu & Gupta 2017 (https://arxiv.org/abs/1710.01878),
Mishra et al. 2021 (https://arxiv.org/abs/2104.08378).
"""

from effjax.recipes import schema
from effjax.steps.settings import SETTINGS

KD = {"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": 4.0}}
HALF = ((0.0, 1.0), (0.3, 0.5))  # of the channels
SPARSE = {  # name -> label, plan, which weights
    "sparse_80": ("80 % of the weights removed", ((0.0, 0.0), (0.1, "cubic 0.8"), (0.6, 0.8)), {}),
    "sparse_90": ("90 % of the weights removed", ((0.0, 0.0), (0.1, "cubic 0.9"), (0.6, 0.9)), {}),
    "two_of_four": ("2:4", ((0.0, 0.0), (0.3, 0.5)), {"structure": "2:4"}),
}
DENSE = "student/stem_conv/kernel"  # the first kernel, which has few weights


def bits(scheme: str):
    """Few bits for the last two fifths of a run."""
    return (0.0, None), (0.6, scheme)


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.recipe, config.title = "compress", "Ways to a small file, on digits"
    config.num_seeds = 1 if variant else 5
    config.view.mean, config.view.std = (0.13,), (0.31,)
    teacher = schema.run(model={"name": "resnet20"}, epochs=8.0, batch_size=50)
    student = schema.run(model={"name": "resnet8"}, epochs=12.0, batch_size=50)
    add_ways(config, teacher, student)
    if variant == "tiny":
        teacher.model, student.model = {"name": "scnn"}, {"name": "scnn", "width": 0.5}
        add_ways(config, teacher, student)
        for run in config.runs.values():
            run.epochs, run.evaluations = 1.0, 2
    return config


def add_ways(config, teacher, student):
    """Lays out the runs and the files: the teacher, the student as it is, and its ways to become small."""
    runs, exports = {"teacher": teacher, "student": student}, {}
    taught = schema.teacher_of_run("teacher", cached="float32")

    def variant(name: str, **plans):
        runs[name] = student.copy_and_resolve_references()
        runs[name].plans.update(plans)

    def with_teacher(name: str, of: str, **plans):
        runs[name] = schema.distilled(runs[of], "", KD, taught)
        runs[name].plans.update(plans)

    def file(name: str, label: str, control: str, run: str = "", **given):
        of = {} if name == "teacher" else {"teacher": "teacher"}
        exports[name] = schema.export(run or name, label=label, control=control, **of, **given)

    file("teacher", "teacher", "")
    file("student", "student", "")
    file("ptq_w8a8", "8 bits after training", "student", run="student", bits="w8a8")
    file("ptq_w4a4", "4 bits after training", "student", run="student", bits="w4a4")
    variant("qat_w8a8", bits=bits("w8a8"))
    file("qat_w8a8", "8 bits, trained", "ptq_w8a8")
    variant("qat_w4a4", bits=bits("w4a4"))
    file("qat_w4a4", "4 bits, trained", "ptq_w4a4")
    with_teacher("qat_w4a4_taught", of="qat_w4a4")
    file("qat_w4a4_taught", "4 bits, taught", "qat_w4a4")
    if "channels" in SETTINGS:
        variant("half", channels=HALF)
        file("half", "half of the channels", "student")
        with_teacher("half_taught", of="half")
        file("half_taught", "half of the channels, taught", "half")
        with_teacher("half_taught_w8a8", of="half", bits=bits("w8a8"))
        file("half_taught_w8a8", "half of the channels, taught, 8 bits", "half_taught")
    if "sparsity" in SETTINGS:
        for name, (label, plan, pruning) in SPARSE.items():
            variant(name, sparsity=plan)
            runs[name].pruning.update(every=20, dense=DENSE, **pruning)
            file(name, label, "student")
    config.runs, config.exports, config.table = runs, exports, tuple(exports)
