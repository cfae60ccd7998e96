"""Ten classes of digits on cluttered canvases, some of them rare: a small detector.

python -m launch.data --dataset=digit_canvases --data_dir=data
python -m launch.train --config=configs/detection/digit_canvases.py --workdir=runs/digit_canvases
"""

from configs.detection import nuclei
from effjax.recipes import schema


def get_config(variant: str = ""):
    schema.check_variant(variant, ())
    config = schema.experiment()
    config.task, config.title = "detection", "Digits on cluttered canvases"
    config.data.name = "digit_canvases"
    config.data.padded = {"objects": 6}
    config.num_seeds, config.eval_batch_size = 5, 100
    config.view.mean, config.view.std = (0.2,), (0.25,)
    config.runs.alone = nuclei.detector(schema.run(label="alone", steps=600), channels=32)
    config.table = ("alone",)
    return config
