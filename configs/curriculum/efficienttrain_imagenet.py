"""EfficientTrain as published: ResNet-50 on ImageNet, 300 epochs. Variants ``baseline``, ``plus`` (the compute of 200).

  python -m launch.data  --dataset=imagenet2012 --data_dir=DATA --download   # after placing the archives by hand
  python -m launch.train --config=configs/curriculum/efficienttrain_imagenet.py --config.data.dir=DATA --workdir=DIR

Batch 4096, AdamW at 4e-3 with decay 0.05, a cosine with 20 epochs of warm-up, crops of 8 % or more of the photo,
bicubic, RandAugment, mixup 0.8, cutmix 1.0, erasing 0.25, label smoothing 0.1, moving average 0.9999 (not of ++);
evaluated on the middle 224 of 256 pixels. ++ as its code has it: a cosine and a warm-up for each size, erasing after
the resize. Published top-1: baseline 78.8, EfficientTrain 79.4, ++ 79.6.
Cost: published 1.44 times as fast as the baseline on 8 GPUs; where photos are waited for,
``--config.view.resampler=simd`` reads nearly twice as many. Not run by us: there is no table of ours.
"""

from effjax.curricula import (
    compute_progress,
    efficienttrain,
    efficienttrain_plus,
    epochs_for_compute,
    warmups_for_compute,
)
from effjax.recipes import schema

EPOCHS, COMPUTE, WARMUP, SIZE = 300.0, 200.0, 20.0, 224  # COMPUTE: of ++, in epochs at the full size


def get_config(variant: str = ""):
    schema.check_variant(variant, ("baseline", "plus"))
    config = schema.experiment()
    config.title = "EfficientTrain on ImageNet"
    config.backend, config.eval_batch_size = "pmap", 2048
    config.data.update(name="imagenet2012", train="train[1%:]", validation="train[:1%]", test="validation")
    config.data.image_size, config.data.crop_pct, config.data.num_workers = SIZE, 0.875, 16
    config.view.update(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), flip=True, crop=0.08, crop_from="photo")
    config.view.update(operations=2, interpolation="bicubic", erasing=0.25, mixup=0.8, cutmix=1.0)
    run = schema.run(label="ResNet-50", model={"name": "resnet50"}, batch_size=4096, epochs=EPOCHS, ema=0.9999)
    run.model.dtype, run.sync_batch_norm = "bfloat16", False  # a device normalises its own, as published
    run.optimizer.update(name="adamw", learning_rate=4e-3, weight_decay=0.05)
    run.schedule.update(name="cosine", warmup=WARMUP / EPOCHS, end=1e-6)
    run.terms.ce = {"weight": 1.0, "label_smoothing": 0.1}
    run.evaluations = 30
    if variant != "baseline":
        plans = efficienttrain(SIZE) if not variant else efficienttrain_plus("resnet", SIZE)
        run.plans.update({plan.setting: plan.pieces for plan in plans})
    if variant == "plus":
        run.reduction, run.epochs, run.ema = "early", epochs_for_compute(plans[0], COMPUTE), 0.0
        run.schedule.progress = compute_progress(plans[0])
        run.schedule.warmups = warmups_for_compute(plans[0], COMPUTE, WARMUP)
    config.runs.resnet50 = run
    return config
