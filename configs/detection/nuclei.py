"""Nuclei of living cells, found by a small detector: real microscopy, 64×64 pixels, 500 pictures to learn from.

python -m launch.data --dataset=nuclei --data_dir=data
python -m launch.train --config=configs/detection/nuclei.py --workdir=runs/nuclei --results=results/detection_nuclei.md
"""

from effjax.recipes import schema

VARIANTS = ("tiny",)


def get_config(variant: str = ""):
    schema.check_variant(variant, VARIANTS)
    config = schema.experiment()
    config.task, config.title = "detection", "Nuclei of living cells, found by a small detector"
    config.data.name = "nuclei"
    config.data.padded = {"objects": 16}
    config.num_seeds, config.eval_batch_size = 5, 100
    config.view.mean, config.view.std = (0.3,), (0.2,)
    config.view.flip = True
    config.runs.alone = detector(schema.run(label="alone", steps=300), channels=32)
    config.table = ("alone",)
    return config


def detector(run, channels: int):
    run.model = {
        "name": "fcos", "backbone": "resnet8", "stem": "halving", "strides": (4,), "channels": channels, "convs": 1,
    }  # fmt: skip
    run.batch_size, run.evaluations = 16, 3
    run.terms = {"quality_focal": {}, "box_giou": {}}
    run.plans.terms = ((0.0, ("quality_focal", "box_giou")),)
    run.optimizer.update(name="adamw", learning_rate=4e-3, weight_decay=1e-3, clip_norm=5.0)
    return run
