"""Distillation on CIFAR-100 as the field publishes it: cifar100.py:PAIR, one of ``PAIRS``, every method a run.

  python -m launch.data  --dataset=cifar100 --data_dir=data --download
  python -m launch.train --config=configs/distill/cifar100.py:resnet32x4_resnet8x4 --workdir=runs/resnet32x4_resnet8x4 \
      --only=kd,crd

The pairs of RepDistiller's two tables, its networks, and its settings: 240 epochs of batches of 64, SGD at 0.05 (0.01
for mobile students) times 0.1 at 150, 180 and 210, momentum 0.9, decay 5e-4 on all parameters, a crop of 4 pixels'
padding, a flip. The weights are ``published`` ones; of DKD, and of standardised logits, those of their codes for the
pair. MLKD trains for 480 epochs (960 for two pairs), on two views. AB, FSP and FT have 30 epochs before the 240: the
student learns AB or FSP and nothing else, or FT's paraphraser learns without it. ``--only`` trains some of the runs,
several commands at once if need be; without it all, and a report.

As published all 50,000 images are trained on and the last epoch is what is reported: so the validation split is a part
of what is trained on, tells nothing, and chooses nothing; columns "best" do not count. ``PAIR,honest`` keeps a tenth
apart. ``launch.published`` prints the published accuracies beside those of a workdir.

``PAIR,theirs`` is taught by the networks that RepDistiller's authors publish, in place of one of one's own: its script
scripts/fetch_pretrained_teachers.sh brings them into save/models/, where they are looked for.

Cost, an estimate that nobody has measured: a run has 187,500 steps, so about 1 to 3 hours on one recent GPU, more with
ResNet-50 as the teacher; a pair with all methods about 200 GPU hours with 3 seeds (of unlike networks), 300 with 5.
Expected: the published table within a point. Not run by us: there is no table of ours. Variant ``tiny`` (or
``PAIR,tiny``): two steps a run, no result.
"""

from collections.abc import Sequence

from effjax.recipes import schema
from effjax.steps import presets

MODELS = {  # RepDistiller's networks, by our names
    **{f"resnet{depth}": {"name": f"resnet{depth}", "shortcut": "projection"} for depth in (20, 32, 56, 110)},
    **{name: {"name": name} for name in ("resnet8x4", "resnet32x4", "wrn_16_2", "wrn_40_1", "wrn_40_2")},
    **{name: {"name": name} for name in ("vgg8", "vgg13", "shufflenet_v1", "shufflenet_v2")},
    "resnet50": {"name": "resnet50", "stem": "cifar"},
    "mobilenet_v2": {"name": "mobilenet_v2_cifar"},
}
TRAINED = "save/models/{}_vanilla/ckpt_epoch_240.pth"  # as RepDistiller's script puts them
ALIKE = (("wrn_40_2", "wrn_16_2"), ("wrn_40_2", "wrn_40_1"), ("resnet56", "resnet20"), ("resnet110", "resnet20"))
ALIKE += (("resnet110", "resnet32"), ("resnet32x4", "resnet8x4"), ("vgg13", "vgg8"))
UNLIKE = (("vgg13", "mobilenet_v2"), ("resnet50", "mobilenet_v2"), ("resnet50", "vgg8"))
UNLIKE += (("resnet32x4", "shufflenet_v1"), ("resnet32x4", "shufflenet_v2"), ("wrn_40_2", "shufflenet_v1"))
# FSP compares layers of as many channels, mdistiller's KD-SVD of as many columns.
ONLY = {"fsp": tuple(pair for pair in ALIKE if pair != ("wrn_40_2", "wrn_40_1")), "kdsvd": ALIKE}
PAIRS = {f"{teacher}_{student}": (teacher, student) for teacher, student in ALIKE + UNLIKE}
METHODS = {  # run -> label, convention, method
    "kd": ("KD", "repdistiller", "kd"),
    "fitnet": ("FitNet, the hint all the way", "repdistiller", "hint"),
    "at": ("AT", "repdistiller", "attention"),
    "sp": ("SP", "repdistiller", "similarity"),
    "cc": ("CC", "repdistiller", "cc"),
    "vid": ("VID", "repdistiller", "vid"),
    "rkd": ("RKD", "repdistiller", "relational"),
    "pkt": ("PKT", "repdistiller", "pkt"),
    "ab": ("AB", "repdistiller", "ab"),
    "ft": ("FT", "repdistiller", "ft"),
    "fsp": ("FSP", "repdistiller", "fsp"),
    "nst": ("NST", "repdistiller", "nst"),
    "crd": ("CRD", "repdistiller", "crd"),
    "kdsvd": ("KD-SVD", "mdistiller", "kdsvd"),
    "ofd": ("OFD", "mdistiller", "ofd"),
    "reviewkd": ("ReviewKD", "mdistiller", "review"),
    "dkd": ("DKD", "mdistiller", "dkd"),
    "dist": ("DIST", "paper", "dist"),
    "nkd": ("NKD", "paper", "nkd"),
    "ctkd": ("CTKD", "paper", "ctkd"),
    "ctkd_standardized": ("CTKD, standardised logits", "paper", "ctkd_standardized"),
    "kd_standardized": ("KD, standardised logits", "paper", "standardized"),
    "dkd_standardized": ("DKD, standardised logits", "mdistiller", "dkd"),
    "mlkd": ("MLKD", "paper", "mlkd"),
    "mlkd_standardized": ("MLKD, standardised logits", "paper", "mlkd_standardized"),
    "sdd_kd": ("SD-KD", "paper", "sdd_kd"),
    "sdd_dkd": ("SD-DKD", "paper", "sdd_dkd"),
    "sdd_nkd": ("SD-NKD", "paper", "sdd_nkd"),
}
BETA = {  # of DKD, where it is not 8: mdistiller, configs/cifar100/dkd/; resnet110_resnet20 as resnet110_resnet32
    **dict.fromkeys(("resnet56_resnet20", "resnet110_resnet32", "resnet110_resnet20"), 2.0),
    **dict.fromkeys(("wrn_40_2_wrn_16_2", "wrn_40_2_wrn_40_1", "vgg13_vgg8", "vgg13_mobilenet_v2"), 6.0),
}
REVIEW = {  # weight of ReviewKD, where it is not 5: its code, CIFAR-100/script/reviewKD.sh; other pairs have none there
    "resnet32x4_shufflenet_v2": 8.0,
    "resnet56_resnet20": 0.6,
    "resnet110_resnet20": 1.0,
    "resnet110_resnet32": 1.0,
}
STANDARDIZED = {  # temperature and weight of KD, where they are not 2 and 9: the names of the code's logs
    "vgg13_vgg8": (3.0, 9.0),
    "resnet110_resnet20": (4.0, 12.0),
    "vgg13_mobilenet_v2": (3.0, 9.0),
    "resnet50_mobilenet_v2": (3.0, 1.0),
}
EPOCHS, FIRST = 240, 30
DECAYS = (150, 180, 210)
SLOW = ("mobilenet_v2", "shufflenet_v1", "shufflenet_v2")
# MLKD trains for 480 epochs, these for 960: configs/cifar100/mlkd/ of logit-standardization-KD.
LONGEST = ("resnet32x4_shufflenet_v1", "resnet32x4_shufflenet_v2")


# Temperature and weight of standardised DKD, whose other classes weigh 2 where these are not 2 and 9, else as in BETA.
DKD_STANDARDIZED = {
    **dict.fromkeys(("vgg13_vgg8", "resnet110_resnet32", "resnet110_resnet20", "resnet50_mobilenet_v2"), (2.0, 15.0)),
    **dict.fromkeys(("wrn_40_2_wrn_40_1", "wrn_40_2_wrn_16_2"), (2.0, 12.0)),
    "resnet56_resnet20": (3.0, 18.0),
    "vgg13_mobilenet_v2": (3.0, 9.0),
}


def get_config(variant: str = ""):
    pair, words = read(variant)
    honest, tiny, theirs = (word in words for word in ("honest", "tiny", "theirs"))
    teacher_name, student_name = PAIRS[pair]
    config = schema.experiment()
    config.title = f"{teacher_name} teaches {student_name}, on CIFAR-100"
    if not honest:
        config.title += "; as published: validation is trained on, and chooses nothing; read the last, not the best"
    config.data.update(name="cifar100", train="train", validation="train[90%:]", test="test")
    if honest:
        config.data.train = "train[:90%]"
    config.view.update(mean=(0.5071, 0.4867, 0.4408), std=(0.2675, 0.2565, 0.2761), shift=4, flip=True)
    # The authors' strong view: RandAugment in FixMatch's form, whose magnitudes are uniform, and a grey box.
    config.views.strong = {"operations": 2, "magnitude": 9.0, "erasing": 1.0}
    config.num_seeds = 1 if tiny else 5 if PAIRS[pair] in ALIKE else 3

    teacher = _run(f"teacher: {teacher_name}", teacher_name)
    teacher.num_seeds = 1
    student = _run(f"student alone: {student_name}", student_name)
    runs, taught = {"teacher": teacher, "student": student}, schema.teacher_of_run("teacher", seeds=(0,))
    if theirs:
        del runs["teacher"]
        taught = _trained(teacher_name, mean=config.view.mean, std=config.view.std)
    left_out = {name for name, pairs in ONLY.items() if PAIRS[pair] not in pairs}
    methods = {name: method for name, method in METHODS.items() if name not in left_out}
    for name, (label, convention, method) in methods.items():
        terms = presets.published(convention, method)
        for term, options in terms.items():
            options.update(_taps(term, teacher_name, student_name))
        runs[name] = schema.distilled(student, label, terms, taught)
    runs["dkd"].terms.dkd.beta = BETA.get(pair, 8.0)
    for name, tap in (("ab", _before(student_name)[-1]), ("fsp", maps(student_name)[-1])):
        if name in methods:
            _begin(runs[name], {name: f"up to {tap}"}, {"ce": ".*"}, tiny)
    _begin(runs["ft"], {"ft": "ft/paraphraser/.*"}, {"ce": "student/.*", "ft": "ft/translator/.*"}, tiny)
    if not student_name.startswith("vgg") and student_name not in SLOW:  # there the paraphraser learns at 0.01
        runs["ft"].terms.ft.reconstruction /= 5
    for name in ("mlkd", "mlkd_standardized"):
        run, epochs = runs[name], 960 if pair in LONGEST else 480
        run.epochs, run.optimizer.learning_rate = float(epochs), 0.025
        run.schedule.boundaries = tuple(epoch / epochs for epoch in DECAYS)
        if student_name in SLOW or pair == "vgg13_vgg8":
            run.optimizer.learning_rate = 0.01
    if pair in ("vgg13_vgg8", "vgg13_mobilenet_v2", "resnet32x4_shufflenet_v2"):  # 6, not 9: the names of their logs
        for name, term in runs["mlkd_standardized"].terms.items():
            term.weight *= 1.0 if name.startswith("ce") else 6 / 9
    for name in ("sdd_kd", "sdd_dkd", "sdd_nkd"):
        coarse = PAIRS[pair] in ALIKE or (name, pair) == ("sdd_nkd", "resnet50_vgg8")
        runs[name].terms[name].finest = 2 if coarse else 4
    runs["sdd_dkd"].terms.sdd_dkd.beta = runs["sdd_nkd"].terms.sdd_nkd.gamma = BETA.get(pair, 8.0)
    runs["reviewkd"].terms.review.weight.peak = REVIEW.get(pair, 5.0)
    temperature, weight = STANDARDIZED.get(pair, (2.0, 9.0))
    runs["kd_standardized"].terms.soft_target.update(temperature=temperature, weight=weight)
    temperature, weight = DKD_STANDARDIZED.get(pair, (2.0, 9.0))
    beta = 2.0 if pair in DKD_STANDARDIZED else BETA.get(pair, 8.0)
    # Both parts weigh as much as the code's --kd-weight makes them.
    options = {"temperature": temperature, "alpha": weight, "beta": weight * beta, "standardize": True}
    runs["dkd_standardized"].terms.dkd.update(options)
    config.runs.update(runs)
    config.table, config.control, config.reference = tuple(runs), "student", "" if theirs else "teacher"
    config.claims = tuple((f"{label} beats no teacher", name, "student") for name, (label, *_) in methods.items())
    if tiny:
        config.eval_batch_size = 4
        for run in config.runs.values():
            run.steps, run.batch_size, run.evaluations = 2, 4, 1
    return config


def read(variant: str) -> tuple[str, list[str]]:
    """The pair of a variant, and all of its words."""
    words = [word for word in variant.split(",") if word]
    for word in words:
        schema.check_variant(word, (*PAIRS, "honest", "theirs", "tiny"))
    pairs = [word for word in words if word in PAIRS] or ["resnet32x4_resnet8x4"]
    return pairs[0], words


def _trained(name: str, **scale: Sequence[float]):
    """A teacher that RepDistiller's authors have trained."""
    options = dict(MODELS[name])
    file = TRAINED.format("ResNet50" if name == "resnet50" else name)
    return schema.teacher_of_weights(options.pop("name"), file=file, options=options, **scale)


def _run(label: str, name: str):
    run = schema.run(label=label, model=dict(MODELS[name]), batch_size=64, epochs=float(EPOCHS), evaluations=24)
    run.optimizer = {
        "name": "sgd",
        "learning_rate": 0.01 if name in SLOW else 0.05,
        "momentum": 0.9,
        "weight_decay": 5e-4,
    }
    run.optimizer.decay_mask = ".*"
    run.schedule = {"name": "step", "boundaries": tuple(epoch / EPOCHS for epoch in DECAYS), "factor": 0.1}
    return run


def _begin(run, first: dict[str, str], then: dict[str, str], tiny: bool) -> None:
    """Puts a first stage before a run's epochs; both are terms, with what is trained. Each has its own optimiser."""
    epochs = FIRST + EPOCHS
    run.epochs, begin = float(epochs), 0.5 if tiny else FIRST / epochs
    run.schedule.boundaries = tuple((FIRST + epoch) / epochs for epoch in DECAYS)
    run.plans.terms = ((0.0, tuple(first)), (begin, tuple(then)))
    run.plans.trainable = ((0.0, "|".join(first.values())), (begin, "|".join(then.values())))


def maps(name: str) -> tuple[str, ...]:
    """The taps of a network's feature maps that are compared, as RepDistiller numbers them from 1."""
    if name.startswith("vgg"):
        return ("block2", "block3", "block4", "block5")
    if name == "mobilenet_v2":
        return ("stage2", "stage3", "stage5", "stage7")
    return tuple(f"stage{number}" for number in range(1, 5 if name == "resnet50" else 4))


def _first(name: str) -> str:
    return "block1" if name.startswith("vgg") else "stem"


def _before(name: str) -> tuple[str, ...]:
    """The same maps before their ReLU; those of MobileNetV2 have none."""
    return maps(name) if name == "mobilenet_v2" else tuple(f"{tap}/preact" for tap in maps(name))


def _taps(term: str, teacher: str, student: str) -> dict:
    """Where a term looks: all maps, the second, the last, or what it looks at by itself."""
    ours, theirs = maps(student), maps(teacher)
    if term in ("attention", "nst", "vid", "kdsvd"):
        return {"student_taps": ours, "teacher_taps": theirs}
    if term == "fsp":
        return {"student_taps": (_first(student), *ours), "teacher_taps": (_first(teacher), *theirs)}
    if term in ("ab", "ofd"):
        return {"student_taps": _before(student), "teacher_taps": _before(teacher)}
    if term == "review":  # the teacher's before their ReLU
        return {"student_taps": (*ours, "penultimate"), "teacher_taps": (*_before(teacher), "penultimate")}
    if term in ("hint", "similarity", "ft"):
        which = 1 if term == "hint" else -1
        return {"student_tap": ours[which], "teacher_tap": theirs[which]}
    return {}
