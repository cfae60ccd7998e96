"""The ways to a small file as the experiments take them: few bits, few channels, few weights."""

from effjax.recipes import schema

SPARSE = {  # name -> label, plan, which weights
    "sparse_80": ("80 % of the weights removed", ((0.0, 0.0), (0.1, "cubic 0.8"), (0.6, 0.8)), {}),
    "sparse_90": ("90 % of the weights removed", ((0.0, 0.0), (0.1, "cubic 0.9"), (0.6, 0.9)), {}),
    "two_of_four": ("2:4", ((0.0, 0.0), (0.3, 0.5)), {"structure": "2:4"}),
}
FIRST = "student/(stem_conv|conv1)/kernel"  # it has few weights, and all that follows hangs on them: it stays dense
FEW = {scheme: ((0.0, None), (0.6, scheme)) for scheme in ("w8a8", "w4a4")}
RENEWED = 20  # steps between two looks at what is removed


def halves(temperature: float) -> dict:
    """Of labels and of a teacher's answers, half each."""
    return {"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": temperature}}


def add_small_files(config, teacher, student, temperature: float, taught):
    """Lays out the runs and the files of an experiment: its teacher, its student, and the ways to make that small.

    Half of the channels and two of four weights go after three tenths of a run, 80 and 90 % of the weights along a
    cubic ramp from a tenth to six tenths of it; few bits come for its last two fifths. All runs of the student have one
    length.

    Args:
      config: the experiment.
      teacher: its run.
      student: the same of the student.
      temperature: at which the student learns from the teacher; labels count for half.
      taught: whom it learns from, as ``schema.teacher_of_run`` has it.
    """
    runs, exports = {"teacher": teacher, "student": student}, {}
    terms = halves(temperature)

    def run(name: str, teacher_too: bool = False, **plans):
        runs[name] = (
            schema.distilled(student, "", terms, taught) if teacher_too else student.copy_and_resolve_references()
        )
        runs[name].plans.update(plans)

    def file(name: str, label: str, control: str = "", **given):
        given = {"run": name, "teacher": "teacher", **given}
        exports[name] = schema.export(label=label, control=control, **given)

    file("teacher", "teacher", teacher="", step=taught.step)
    file("student", "student")
    file("after_w8a8", "8 bits after training", "student", run="student", bits="w8a8")
    file("after_w4a4", "4 bits after training", "student", run="student", bits="w4a4")
    run("w8a8", bits=FEW["w8a8"])
    file("w8a8", "8 bits, trained", "after_w8a8")
    run("taught", True)
    file("taught", "student, taught", "student")
    run("taught_w8a8", True, bits=FEW["w8a8"])
    file("taught_w8a8", "8 bits, taught", "w8a8")
    run("w4a4", bits=FEW["w4a4"])
    file("w4a4", "4 bits, trained", "after_w4a4")
    run("w4a4_taught", True, bits=FEW["w4a4"])
    file("w4a4_taught", "4 bits, taught", "w4a4")
    half = ((0.0, 1.0), (0.3, 0.5))
    run("half", channels=half)
    file("half", "½ channels", "student")
    run("half_taught", True, channels=half)
    file("half_taught", "½ channels, taught", "half")
    run("half_taught_w8a8", True, channels=half, bits=FEW["w8a8"])
    file("half_taught_w8a8", "½ channels, taught, 8 bits", "half_taught")
    for name, (label, plan, pruning) in SPARSE.items():
        run(name, sparsity=plan)
        runs[name].pruning.update(every=RENEWED, dense=FIRST, **pruning)
        file(name, label, "student")
    config.runs, config.exports, config.table = runs, exports, tuple(exports)


def add_teacher_in_four_bits(config, temperature: float, taught):
    """Adds the teacher's own network in 4 bits: after training, while training, and with its answers in floats.

    Args:
      config: the experiment, which has the others.
      temperature: of these answers.
      taught: where they are from, as of :func:`add_small_files`.
    """
    teacher = config.runs.teacher
    config.runs.teacher_w4a4 = teacher.copy_and_resolve_references()
    config.runs.teacher_w4a4_taught = schema.distilled(teacher, "", halves(temperature), taught)
    for name in ("teacher_w4a4", "teacher_w4a4_taught"):
        config.runs[name].plans.bits = FEW["w4a4"]
    for name, label, control, given in (
        ("teacher_after_w4a4", "teacher, 4 bits after training", "teacher", {"run": "teacher", "bits": "w4a4"}),
        ("teacher_w4a4", "teacher, 4 bits, trained", "teacher_after_w4a4", {"run": "teacher_w4a4"}),
        ("teacher_w4a4_taught", "teacher, 4 bits, taught", "teacher_w4a4", {"run": "teacher_w4a4_taught"}),
    ):
        config.exports[name] = schema.export(label=label, control=control, teacher="teacher", **given)
        config.table = (*config.table, name)
