"""Distillation on ImageNet as the field publishes it: ResNet-34 → ResNet-18; ``r50_mv1``: ResNet-50 → MobileNet.

  python -m launch.data  --dataset=imagenet2012 --data_dir=DATA --download   # after placing the archives by hand
  python -m launch.train --config=configs/distill/imagenet.py --config.data.dir=DATA --workdir=runs/r34_r18 --only=kd

The teachers are torchvision's first weights (top-1 73.31 and 76.13): put resnet34-333f7ec4.pth or resnet50-19c8e357.pth
into ``weights/``. mdistiller's settings: 100 epochs, SGD at 0.2 for batches of 512 (CRD, ReviewKD: 0.1 for 256; OFD:
0.05 for 128; MLKD: 0.1), times 0.1 at 30, 60 and 90, decay 1e-4 on all parameters, a crop of 8 % or more of the photo
(bicubic, theirs bilinear), a flip, the middle 224 of 256 pixels in evaluation; T = 1 but for standardised logits and
SD-KD. AT pairs maps of one size. MLKD's strong view shows the part of the photo that the weak one shows; its authors
cut another. A hundredth of the training set validates; the test split is ImageNet's validation.
Published top-1 of ResNet-18 and of MobileNet: KD 71.03 and 70.50, DKD 71.70 and 72.05 (mdistiller's README); DIST 72.07
and 73.24 (DIST_KD's); NKD 71.96 and 72.58 (cls_KD's); of MobileNet SD-KD 72.24, SD-DKD 73.08, SD-NKD 73.12 (SDD's).

Cost, an estimate that nobody has measured: a day on 8 recent GPUs a run and seed, most of it decoding, of which
``--config.view.resampler=simd`` saves nearly half. Not run by us: there is no table of ours. Variant ``tiny``
(``tiny_r50_mv1``): two steps a run, no result.
"""

from effjax.recipes import schema
from effjax.steps import presets

EPOCHS = 100
PAIRS = {  # teacher, its weights, student, the weights of ReviewKD and of DKD's other classes, SDD's finest scale
    "r34_r18": ("resnet34", "weights/resnet34-333f7ec4.pth", "resnet18", 1.0, 0.5, 2),
    "r50_mv1": ("resnet50", "weights/resnet50-19c8e357.pth", "mobilenet_v1", 8.0, 2.0, 4),
}
KD = {"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": 1.0}}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("r34_r18", "r50_mv1", "tiny", "tiny_r50_mv1"))
    teacher, file, student_name, review, beta, finest = PAIRS["r50_mv1" if variant.endswith("r50_mv1") else "r34_r18"]
    config = schema.experiment()
    config.title = f"{teacher} teaches {student_name}, on ImageNet"
    config.backend, config.eval_batch_size = "pmap", 1024
    config.data.update(name="imagenet2012", train="train[1%:]", validation="train[:1%]", test="validation")
    config.data.image_size, config.data.crop_pct, config.data.num_workers = 224, 0.875, 16
    config.view.update(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), flip=True, crop=0.08, crop_from="photo")
    config.views.strong = {"operations": 2, "magnitude": 9.0, "erasing": 1.0}  # MLKD's; as in cifar100.py

    student = schema.run(label=f"{student_name} alone", model={"name": student_name}, batch_size=512)
    student.model.dtype, student.sync_batch_norm = "bfloat16", False  # a device normalises its own, as published
    student.epochs, student.evaluations = float(EPOCHS), 20
    student.optimizer = {"name": "sgd", "learning_rate": 0.2, "momentum": 0.9, "weight_decay": 1e-4}
    student.optimizer.decay_mask = ".*"
    student.schedule = {"name": "step", "boundaries": tuple(epoch / EPOCHS for epoch in (30, 60, 90)), "factor": 0.1}
    scale = {"mean": config.view.mean, "std": config.view.std}  # torchvision's
    runs, taught = {"student": student}, schema.teacher_of_weights(teacher, file=file, **scale)
    for name, (label, terms) in _methods(maps(student_name), review, beta, finest).items():
        run = runs[name] = schema.distilled(student, label, terms, taught)
        if name in ("crd", "reviewkd"):
            run.batch_size, run.optimizer.learning_rate = 256, 0.1
        if name == "ofd":
            run.batch_size, run.optimizer.learning_rate = 128, 0.05
    runs["mlkd"].optimizer.learning_rate = 0.1
    config.runs.update(runs)
    config.table, config.control = tuple(runs), "student"
    if variant.startswith("tiny"):
        config.backend, config.eval_batch_size = "jit", 4
        for run in config.runs.values():
            run.steps, run.batch_size, run.evaluations = 2, 4, 1
    return config


def maps(name: str) -> tuple[str, ...]:
    """The taps of a network's maps of 56, 28, 14 and 7 pixels."""
    return tuple(f"stage{number}" for number in (range(2, 6) if name == "mobilenet_v1" else range(1, 5)))


def _methods(ours: tuple[str, ...], review: float, beta: float, finest: int):
    """By run, its label and terms."""
    theirs = maps("resnet")
    methods = {
        "kd": ("KD", KD),
        "at": ("AT", presets.published("mdistiller", "attention")),
        "crd": ("CRD", presets.published("repdistiller", "crd")),
        "ofd": ("OFD", presets.published("mdistiller", "ofd")),
        "reviewkd": ("ReviewKD", presets.published("mdistiller", "review")),
        "dkd": ("DKD", presets.published("mdistiller", "dkd")),
        "dist": ("DIST", presets.published("torchdistill", "dist")),
        "nkd": ("NKD", presets.published("paper", "nkd")),
        "kd_standardized": ("KD, standardised logits", presets.published("paper", "standardized")),
        "mlkd": ("MLKD", presets.published("paper", "mlkd")),
        "sdd_kd": ("SD-KD", presets.published("paper", "sdd_kd")),
        "sdd_dkd": ("SD-DKD", presets.published("paper", "sdd_dkd")),
        "sdd_nkd": ("SD-NKD", presets.published("paper", "sdd_nkd")),
    }
    terms = {name: terms for name, (_, terms) in methods.items()}
    terms["at"]["attention"].update(student_taps=ours, teacher_taps=theirs)
    before = [(*(f"{tap}/preact" for tap in taps), "penultimate") for taps in (ours, theirs)]
    terms["reviewkd"]["review"].update(student_taps=before[0], teacher_taps=before[1])
    terms["ofd"]["ofd"].update(weight=1e-4, student_taps=before[0][:-1], teacher_taps=before[1][:-1])
    terms["reviewkd"]["review"]["weight"].update(peak=review, warmup=1 / EPOCHS)
    terms["dkd"]["dkd"].update(temperature=1.0, beta=beta)
    for name, options in terms["mlkd"].items():  # its configs/imagenet/: T = 1, labels and teacher count half
        options["weight"] *= 0.5 / (0.1 if name.startswith("ce") else 0.9)
    terms["mlkd"]["mlkd"]["temperature"] = terms["mlkd"]["soft_target_strong"]["temperature"] = 1.0
    terms["sdd_kd"]["sdd_kd"].update(finest=finest)
    terms["sdd_dkd"]["sdd_dkd"].update(temperature=1.0, beta=beta, finest=finest)
    terms["sdd_nkd"]["sdd_nkd"].update(temperature=1.0, gamma=beta, finest=finest)
    for name in ("dkd", "sdd_dkd", "sdd_nkd"):
        terms[name][name]["weight"].update(warmup=1 / EPOCHS)
    return methods
