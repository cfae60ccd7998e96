"""PASCAL VOC 2007 and 2012 together, tested on 2007: FCOS' form on ResNet-50, twelve epochs. Variant ``bf16``.

  python -m launch.data  --dataset=voc/2007 --data_dir=DATA --download
  python -m launch.data  --dataset=voc/2012 --data_dir=DATA --download
  python -m launch.train --config=configs/detection/voc.py --config.data.dir=DATA --workdir=runs/voc \
      --config.runs.fcos.init=/data/resnet50.pth --results=results/voc.md

16,049 images: 07+12's training and validation images but a fifth of 2007's validation images, which choose. SGD at
0.01, a tenth of it after nine and after eleven epochs. Images are centre squares of 512 pixels; what VOC calls
difficult counts as any other object; what is measured is COCO's mean over ten overlaps, whose AP50 is near VOC's mAP,
not the same.

Expected cost: 12,000 steps of 4e12 floating-point operations, a quarter of an hour to half an hour on one H100 in
``bf16``. Not run here: there is no table of ours.
"""

from configs.detection import coco
from effjax.recipes import schema

EPOCHS, IMAGES = 12, 16_049
MOST = 64  # boxes of an image: of the fullest, 56
ALSO = {
    "validation_2007": "voc/2007@validation[20%:]",
    "train_2012": "voc/2012@train",
    "validation_2012": "voc/2012@validation",
}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("bf16",))
    config = schema.experiment()
    config.task, config.title = "detection", "PASCAL VOC 07+12"
    config.data.update(name="voc/2007", train="train", validation="validation[:20%]", test="test", also=ALSO)
    config.data.update(image_size=coco.SIZE, num_workers=16, padded={"objects": MOST})
    config.view.update(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), flip=True)
    config.eval_batch_size = 64
    run = coco.detector(EPOCHS * IMAGES // coco.BATCH, boundaries=(9 / EPOCHS, 11 / EPOCHS))
    run.plans.data = ((0.0, "+".join(("train", *ALSO))),)
    if variant == "bf16":
        run.model.dtype = "bfloat16"
    config.runs.fcos = run
    return config
