"""Ways to a small file, beside one another: few bits, few channels, few weights, with a teacher and without.

  python -m launch.data --dataset=digits --data_dir=data
  python -m launch.compress --config=configs/compress/digits.py --workdir=runs/compress \
      --results=results/compress_digits.md

On 5,000 real digits: the teacher is a ResNet-20, the student a ResNet-8. 8 and 4 bits after training; 8 bits, and 4,
while training, without and with the teacher's stored answers; half of the channels, with the teacher, and in 8 bits
too; 80 and 90 % of the weights removed, and two of four. Every file differs from its control in one thing. And the
ResNet-20 itself in 4 bits: after training, while training, and with its own answers in floats.
Cost: two to three hours on two CPU cores, six minutes on a large GPU. Expected: results/compress_digits.md. Variants:
``scnn``: an S-CNN instead of the ResNet-8, an hour and a half, results/compress_digits_scnn.md; ``resnet20``: another
ResNet-20 instead, two hours, results/compress_digits_resnet20.md; ``after``: the student alone and in 8 and 4 bits
after training, half an hour; ``tiny``: a smaller student, some minutes, no result.

Sources: Esser et al. 2020 (https://arxiv.org/abs/1902.08153), Zhu & Gupta 2017 (https://arxiv.org/abs/1710.01878),
Mishra et al. 2021 (https://arxiv.org/abs/2104.08378).
"""

from configs.small_files import add_small_files, add_teacher_in_four_bits
from effjax.recipes import schema

_STUDENTS = ("scnn", "resnet20")


def get_config(variant: str = ""):
    schema.check_variant(variant, ("scnn", "resnet20", "after", "tiny"))
    config = schema.experiment()
    config.recipe, config.title = "compress", "Ways to a small file, on digits"
    config.num_seeds = 1 if variant == "tiny" else 5
    config.view.mean, config.view.std = (0.13,), (0.31,)
    teacher = schema.run(model={"name": "resnet20"}, epochs=8.0, batch_size=50)
    student = schema.run(model={"name": variant if variant in _STUDENTS else "resnet8"}, epochs=12.0, batch_size=50)
    if variant == "tiny":
        teacher.model, student.model = {"name": "resnet8"}, {"name": "resnet8", "width": 0.5}
        for run in (teacher, student):
            run.epochs, run.evaluations = 1.0, 2
    taught = schema.teacher_of_run("teacher", cached="float32")
    add_small_files(config, teacher, student, 4.0, taught)
    if variant == "after":
        kept = ("student", "after_w8a8", "after_w4a4")
        config.exports = {name: file for name, file in config.exports.items() if name in kept}
        for file in config.exports.values():
            file.teacher = ""
        config.runs, config.table = {"student": student}, kept
    elif variant not in _STUDENTS:
        add_teacher_in_four_bits(config, 4.0, taught)
    return config
