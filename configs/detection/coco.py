"""COCO: FCOS' form with quality focal loss on ResNet-50, five levels, the 1× schedule. Variant ``bf16``.

  python -m launch.train --config=configs/detection/coco.py --workdir=runs/coco \
      --config.data.name=coco:/data/coco --config.runs.fcos.init=/data/resnet50.pth --results=results/coco.md
  python -m launch.evaluate --run=runs/coco/fcos/seed_0 --split=validation

90,000 steps of 16 images, SGD at 0.01, a tenth of it after 60,000 and again after 80,000 steps. The folder is COCO's
own: ``annotations/instances_{train,val}2017.json``, ``train2017/``, ``val2017/``. Published schedules begin with
weights for ImageNet (``init``: torchvision's resnet50).

Images are centre squares of 512 pixels, all of one size, so that numbers are not those of papers, whose images are
whole and 800 pixels high; 2% of train2017 choose, val2017 is the test split. Expected cost: 4e12 floating-point
operations a step; on one H100 with 16 cores that read, 1 to 3 hours in ``bf16``. Not run here: there is no table of
ours.
"""

from effjax.recipes import schema

STEPS, BATCH, SIZE = 90_000, 16, 512
MOST = 100  # boxes of an image: of the fullest, 93


def get_config(variant: str = ""):
    schema.check_variant(variant, ("bf16",))
    config = schema.experiment()
    config.task, config.title = "detection", "COCO"
    config.data.update(name="coco:data/coco", train="train[2%:]", validation="train[:2%]", test="validation")
    config.data.update(image_size=SIZE, num_workers=16, padded={"objects": MOST})
    config.view.update(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), flip=True)
    config.eval_batch_size = 64
    config.runs.fcos = detector(STEPS, boundaries=(60_000 / STEPS, 80_000 / STEPS))
    if variant == "bf16":
        config.runs.fcos.model.dtype = "bfloat16"
    return config


def detector(steps: int, boundaries: tuple[float, ...]):
    """ResNet-50, levels of strides 8 to 128, the head's four convolutions of 256 channels."""
    run = schema.run(label="FCOS, ResNet-50", steps=steps, batch_size=BATCH, evaluations=12)
    run.model = {"name": "fcos", "backbone": "resnet50", "strides": (8, 16, 32, 64, 128), "channels": 256, "convs": 4}
    run.terms = {"quality_focal": {"weight": 1.0}, "box_giou": {"weight": 2.0}}
    run.plans.terms = ((0.0, ("quality_focal", "box_giou")),)
    run.optimizer = {"name": "sgd", "learning_rate": 1e-2, "momentum": 0.9, "weight_decay": 1e-4, "clip_norm": 35.0}
    run.schedule.update(name="step", warmup=500 / steps, boundaries=boundaries, factor=0.1)
    return run
