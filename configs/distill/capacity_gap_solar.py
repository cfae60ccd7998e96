"""Does a bigger teacher teach a small student worse? configs/distill/capacity_gap.py, on real photos of solar cells.

  python -m launch.data --dataset=solar_cells --data_dir=data
  python -m launch.train --config=configs/distill/capacity_gap_solar.py --workdir=runs/capacity_gap_solar \
      --results=results/distill_capacity_gap_solar.md

2,624 electroluminescence photos at 48×48, functional or defective, mirrored at random: each photo in four versions, so
that the teachers' answers can be stored.
Cost: about 25 minutes on two CPU cores (fastest as two processes of a core each, the seeds shared out). Expected:
results/distill_capacity_gap_solar.md. Variant ``tiny``: no result.
"""

from configs.distill.capacity_gap import claims, gap_runs
from configs.solar_cells import use_solar_cells
from effjax.recipes import schema

TEACHERS = {  # name -> label, model, epochs
    "small": ("ResNet-8 × ½", {"name": "resnet8", "width": 0.5, "stem": "imagenet"}, 24.0),
    "middle": ("ResNet-20 × ½", {"name": "resnet20", "width": 0.5, "stem": "imagenet"}, 24.0),
    "large": ("ResNet-20", {"name": "resnet20", "stem": "imagenet"}, 24.0),
}
STUDENT, STUDENT_LABEL = {"name": "resnet8", "width": 0.25, "stem": "imagenet"}, "ResNet-8 × ¼"
ASSISTANT = {"name": "resnet8", "width": 0.375, "stem": "imagenet"}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.title = "Bigger teachers of a small student, on solar cells"
    config.num_seeds = 1 if variant else 5
    use_solar_cells(config, 48)
    config.view.mean, config.view.std, config.view.flip, config.view.replays = (0.5,), (0.25,), True, 4
    config.runs.update(gap_runs(TEACHERS, STUDENT, ASSISTANT, 24.0, 32))
    config.runs.student.label = f"{STUDENT_LABEL} alone"
    config.table, config.claims = tuple(gap_runs(TEACHERS, STUDENT, ASSISTANT, 24.0, 32)), claims()
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations = 0.2, 1
    return config
