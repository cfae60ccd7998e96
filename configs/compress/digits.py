"""Ways to a small file, beside one another: few bits, few channels, few weights, with a teacher and without.

  python -m launch.data --dataset=digits --data_dir=data
  python -m launch.compress --config=configs/compress/digits.py --workdir=runs/compress \
      --results=results/compress_digits.md

On 5,000 real digits: the teacher is a ResNet-20, the student a ResNet-8. 8 and 4 bits after training; 8 bits, and 4,
while training; 4 bits with the teacher's stored answers besides; half of the channels, with the teacher, and in 8 bits
too; 80 and 90 % of the weights removed, and two of four. Every file differs from its control in one thing.
Cost: about an hour and a half on two CPU cores (estimated from steps). Expected: results/compress_digits.md. Variant
``tiny``: a smaller student, some minutes, no result.

Sources: Esser et al. 2020 (https://arxiv.org/abs/1902.08153), Zhu & Gupta 2017 (https://arxiv.org/abs/1710.01878),
Mishra et al. 2021 (https://arxiv.org/abs/2104.08378).
"""

from configs.small_files import add_small_files
from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.recipe, config.title = "compress", "Ways to a small file, on digits"
    config.num_seeds = 1 if variant else 5
    config.view.mean, config.view.std = (0.13,), (0.31,)
    teacher = schema.run(model={"name": "resnet20"}, epochs=8.0, batch_size=50)
    student = schema.run(model={"name": "resnet8"}, epochs=12.0, batch_size=50)
    if variant == "tiny":
        teacher.model, student.model = {"name": "resnet8"}, {"name": "resnet8", "width": 0.5}
        for run in (teacher, student):
            run.epochs, run.evaluations = 1.0, 2
    add_small_files(config, teacher, student, 4.0, schema.teacher_of_run("teacher", cached="float32"))
    return config
