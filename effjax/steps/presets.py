"""Published distillation objectives, as a run's ``terms``.

What the conventions disagree on, in the words of this package's terms, whose losses are means over the batch:

===========  =========================  =========================  ==========================
Method       paper (its authors' code)  repdistiller, mdistiller   torchdistill
===========  =========================  =========================  ==========================
kd           ½ CE + T²·KL, T = 20       0.1 CE + 0.9 T²·KL, T = 4  ½ CE + ½ T²·KL, T = 1
hint         ½ Σ over channels alone,   CE + 100 · mean of all     Σ of all alone, then its kd
             then CE + λ·H, λ 4 to 1,
             T = 3, without T²
attention    CE + 1000 · mean squares   the same                   the same
relational   CE + 25 D + 50 A           CE + 25 D + 50 A           CE + D + 2 A
             + T²·KL, T = 4
similarity   –                          CE + 3000 SP               – (rows over their L1 norm)
cc           –                          CE + 0.02 CC               –
vid          –                          CE + VID                   –
fsp          –                          FSP alone, then CE         –
ab           –                          0.003 AB alone, then CE    –
ft           –                          its paraphraser alone,     –
                                        then CE + 200 FT
ofd          –                          mdistiller: CE + 0.001 OFD –
kdsvd        –                          mdistiller: CE + KD-SVD    –
crd          CE + 0.8 CRD, T = 0.07     the same                   the same + T²·KL, T = 4
dkd          CE + TCKD + 8 NCKD, T = 4  mdistiller: the same       –
review       CE + 5 ReviewKD            mdistiller: the same       –
dist         CE + 2 DIST, T = 4, T²     –                          CE + 2 DIST, T = 1
ickd         CE + 2.5 ICKD              –                          its kd + 1.95 ICKD
srd          –                          –                          CE + T²·KL + 2 SRD, T = 1
pad          –                          –                          CE + PAD
skd          –                          –                          KL + SKD, T = 4
mlkd         0.1 CE of both views,      –                          –
             0.9 MLKD, T = 4
sdd_kd       0.1 CE + 0.9 SD-KD, T = 4  –                          –
sdd_dkd      CE + SD-DKD, T = 4         –                          –
sdd_nkd      CE + SD-NKD, T = 4, γ = 8  –                          –
===========  =========================  =========================  ==========================

Numbers are those for CIFAR-100, torchdistill's for ImageNet. Which activations are compared depends on the networks:
the taps are left to the user. Besides CRD itself there is ``contrastive``, with the batch in place of its memory; the
weight and the temperature are CRD's, the loss is not.
"""

import copy
from typing import Any

from effjax.errors import check_known

Terms = dict[str, dict[str, Any]]

# FitNets adds λ · H(teacher, student) at T = 3 without the factor T², which the term ``soft_target`` has: its gradient
# is that of λ / T² of the term. λ falls from 4 to 1 (there between the epochs 5 and 400 of 500, here over the run).
_FITNETS_T = 3.0
_FITNETS_WEIGHT = {"name": "linear", "peak": 4.0 / _FITNETS_T**2, "end": 1.0 / _FITNETS_T**2}

# https://github.com/megvii-research/mdistiller, mdistiller/engine/cfg.py (DKD) and mdistiller/distillers/DKD.py: the
# weight rises over the first 20 of 240 epochs. configs/cifar100/dkd: β = 8 for resnet32x4 and resnet8x4, 2 for resnet56
# and resnet20; configs/imagenet/r34_r18/dkd.yaml: T = 1, β = 0.5.
_DKD = {
    "ce": {"weight": 1.0},
    "dkd": {
        "weight": {"name": "constant", "peak": 1.0, "warmup": 20 / 240},
        "temperature": 4.0,
        "alpha": 1.0,
        "beta": 8.0,
    },
}

# https://github.com/megvii-research/mdistiller, mdistiller/distillers/ReviewKD.py and configs/cifar100/reviewkd.yaml (5
# for resnet32x4 and resnet8x4); https://github.com/dvlab-research/ReviewKD, CIFAR-100/script/reviewKD.sh (8 for
# ShuffleNetV2, 0.6 for resnet56 and resnet20, 1 for resnet110 and resnet32). It rises over the first 20 of 240 epochs.
_REVIEW = {
    "ce": {"weight": 1.0},
    "review": {"weight": {"name": "constant", "peak": 5.0, "warmup": 20 / 240}},
}

# https://github.com/zhengli97/CTKD, scripts/run_cifar_distill.sh and train_student.py (t_start, t_end): the reversal
# rises to 1 over the first 10 of 240 epochs; there by a cosine, here by a line.
_CTKD = {
    "ce": {"weight": 0.1},
    "ctkd": {
        "weight": 0.9,
        "least": 1.0,
        "span": 20.0,
        "reversal": {"name": "constant", "peak": 1.0, "warmup": 10 / 240},
    },
}

# Wei et al. 2024, https://arxiv.org/abs/2403.13512; https://github.com/shicaiwei123/SDD-CVPR2024: engine/cfg.py, and
# distillers/KD.py, SDD_DKD.py and SDD_nkd.py of its mdistiller; teacher_*.sh: --M [1,2], here finest = 2, for the pairs
# of resnet32x4 and resnet8x4 and of vgg13 and vgg8, [1,2,4] for unlike networks. Weights that rise do so over the
# first 20 of 240 epochs. NKD's other classes weigh what DKD's do: there it is one and the same key.
_SDD = {
    "sdd_kd": {
        "ce": {"weight": 0.1},
        "sdd_kd": {"weight": 0.9, "temperature": 4.0, "finest": 4, "complementary": 2.0},
    },
    "sdd_dkd": {
        "ce": {"weight": 1.0},
        "sdd_dkd": {**_DKD["dkd"], "finest": 4, "complementary": 2.0},
    },
    "sdd_nkd": {
        "ce": {"weight": 1.0},
        "sdd_nkd": {
            "weight": _DKD["dkd"]["weight"],
            "temperature": 4.0,
            "gamma": 8.0,
            "finest": 4,
            "complementary": 2.0,
        },
    },
}


def _multi_level(ce: float, weight: float, temperature: float, **standardize: Any) -> Terms:
    """MLKD as its code has it, https://github.com/Jin-Ying/Multi-Level-Logit-Distillation, distillers/KD_ours.py.

    That takes means before it leaves out the examples and classes of which the teacher is more than usually sure: so
    these terms of the weak view count half, and nothing is left out. Of the strong view's temperatures two are taken of
    the weak view, and its correlations are computed but not added.
    """
    soft = {"kind": "soft_target", "weight": weight, **standardize}
    return {
        "ce": {"weight": ce},
        "ce_strong": {"kind": "ce", "weight": ce, "view": "strong"},
        "mlkd": {"weight": weight / 2, "temperature": temperature, **standardize},
        **{f"soft_target_{t:g}": {**soft, "temperature": t} for t in (2.0, 6.0)},
        **{f"soft_target_strong_{t:g}": {**soft, "temperature": t, "view": "strong"} for t in (3.0, 5.0)},
        "soft_target_strong": {**soft, "temperature": temperature, "view": "strong"},
    }


_PAPER = {
    # Hinton et al. 2015, https://arxiv.org/abs/1503.02531: T = 20 in sec. 3 (MNIST, where no weight is given), half the
    # weight on the labels in sec. 4 (speech). There is no code.
    "kd": {"ce": {"weight": 0.5}, "soft_target": {"weight": 1.0, "temperature": 20.0}},
    # Romero et al. 2014, https://arxiv.org/abs/1412.6550; https://github.com/adri-romsor/FitNets: costs/HintCost.py,
    # costs/KDCost.py, extensions/TeacherDecayOverEpoch.py and yaml/cifar10_fitnet19_valid.yaml (T, λ).
    "hint": {
        "hint": {"weight": 1.0, "form": "paper"},
        "ce": {"weight": 1.0},
        "soft_target": {"weight": _FITNETS_WEIGHT, "temperature": _FITNETS_T},
    },
    # Zagoruyko & Komodakis 2017, https://arxiv.org/abs/1612.03928; https://github.com/szagoruyko/attention-transfer:
    # README.md (--beta 1e+3, α = 0) and utils.py.
    "attention": {"ce": {"weight": 1.0}, "attention": {"weight": 1000.0, "form": "code"}},
    # Park et al. 2019, https://arxiv.org/abs/1904.05068; https://github.com/lenscloth/RKD,
    # run_distill_classification.py: 16 · KL at T = 4 is T² · KL. It normalises the embeddings first. For metric
    # learning (examples/) it takes 1 and 2, without labels.
    "relational": {
        "ce": {"weight": 1.0},
        "relational_distance": {"weight": 25.0},
        "relational_angle": {"weight": 50.0},
        "soft_target": {"weight": 1.0, "temperature": 4.0},
    },
    # Zhao et al. 2022, https://arxiv.org/abs/2203.08679; its code is mdistiller.
    "dkd": _DKD,
    "review": _REVIEW,
    # Li et al. 2023, https://arxiv.org/abs/2211.16231.
    "ctkd": _CTKD,
    # As "standardized": its CTKD/scripts/run_cifar_distill.sh, -r 0.1 -a 9.
    "ctkd_standardized": {"ce": {"weight": 0.1}, "ctkd": {**_CTKD["ctkd"], "weight": 9.0, "standardize": True}},
    # Huang et al. 2022, https://arxiv.org/abs/2205.10536; https://github.com/hunto/image_classification_sota:
    # lib/models/losses/kd_loss.py and configs/strategies/distill/dist_cifar.yaml; resnet_dist.yaml (ImageNet): T = 1.
    "dist": {"ce": {"weight": 1.0}, "dist": {"weight": 2.0, "temperature": 4.0, "inter": 1.0, "intra": 1.0}},
    # Liu et al. 2021, https://arxiv.org/abs/2202.03680; https://github.com/ADLab-AutoDrive/ICKD,
    # Cifar100/scripts/run_cifar_distill.sh.
    "ickd": {"ce": {"weight": 1.0}, "ickd": {"weight": 2.5}},
    # Yang et al. 2023, https://arxiv.org/abs/2303.13005; https://github.com/yzd-v/cls_KD (ImageNet).
    "nkd": {"ce": {"weight": 1.0}, "nkd": {"weight": 1.0, "temperature": 1.0, "gamma": 1.5}},
    **_SDD,
    # Jin et al. 2023 (CVPR, Multi-Level Logit Distillation), engine/cfg.py; for config.views.strong.
    "mlkd": _multi_level(0.1, 0.9, 4.0),
    # As "standardized": tools/train.py --logit-stand, of the soft targets alone.
    "mlkd_standardized": _multi_level(0.1, 9.0, 2.0, standardize=True),
    # Touvron et al. 2021, https://arxiv.org/abs/2012.12877, eq. 3 and table 9: half each, the labels smoothed. The
    # student has a distillation token: `deit_*_distilled` with `apart`.
    "deit": {
        "ce": {"weight": 0.5, "label_smoothing": 0.1},
        "hard_label": {"weight": 0.5, "student_tap": "distillation_logits"},
    },
    # Sun et al. 2024, https://arxiv.org/abs/2403.01427; https://github.com/sunshangquan/logit-standardization-KD,
    # README.md (--base-temp 2 --kd-weight 9; for some pairs it takes 3); the labels weigh as in mdistiller.
    "standardized": {
        "ce": {"weight": 0.1},
        "soft_target": {"weight": 9.0, "temperature": 2.0, "standardize": True},
    },
}

# https://github.com/HobbitLong/RepDistiller, scripts/run_cifar_distill.sh (weights), train_student.py (temperatures)
# and distiller_zoo/RKD.py (25, 50).
_REPDISTILLER = {
    "kd": {"ce": {"weight": 0.1}, "soft_target": {"weight": 0.9, "temperature": 4.0}},
    "hint": {"ce": {"weight": 1.0}, "hint": {"weight": 100.0, "form": "mean", "regressor": "repdistiller"}},
    "attention": {"ce": {"weight": 1.0}, "attention": {"weight": 1000.0, "form": "code"}},
    "relational": {
        "ce": {"weight": 1.0},
        "relational_distance": {"weight": 25.0},
        "relational_angle": {"weight": 50.0},
    },
    # On the last map, feat[-2], not on the pooled features: it is to be named.
    "similarity": {"ce": {"weight": 1.0}, "similarity": {"weight": 3000.0, "student_tap": "", "teacher_tap": ""}},
    "pkt": {"ce": {"weight": 1.0}, "pkt": {"weight": 30_000.0}},
    "nst": {"ce": {"weight": 1.0}, "nst": {"weight": 50.0}},
    "contrastive": {"ce": {"weight": 1.0}, "contrastive": {"weight": 0.8, "temperature": 0.07}},
    # Two stages each, of 30 epochs (init_epochs) and of 240, helper/pretrain.py; which terms are on when, and what is
    # trained, is for the plan to say. The paraphraser learns at weight 1: 200 · 0.005.
    "fsp": {"fsp": {"weight": 1.0, "form": "mean"}, "ce": {"weight": 1.0}},
    "ab": {"ab": {"weight": 0.003, "margin": 1.0}, "ce": {"weight": 1.0}},
    "ft": {"ft": {"weight": 200.0, "rate": 0.5, "reconstruction": 0.005}, "ce": {"weight": 1.0}},
    "cc": {"ce": {"weight": 1.0}, "cc": {"weight": 0.02, "dim": 128}},
    "vid": {"ce": {"weight": 1.0}, "vid": {"weight": 1.0, "variance": 5.0}},
    "crd": {
        "ce": {"weight": 1.0},
        "crd": {"weight": 0.8, "temperature": 0.07, "dim": 128, "negatives": 16384, "momentum": 0.5},
    },
}

# https://github.com/yoshitomo-matsubara/torchdistill, configs/sample/ilsvrc2012/<method>/ (kd, at and crd also under
# configs/official/ilsvrc2012/) and torchdistill/losses/mid_level.py.
_TORCHDISTILL = {
    "kd": {"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": 1.0}},
    # fitnet/: stage 1 sums the squares over batch and units, and trains with Adam, which does not feel the scale.
    "hint": {
        "hint": {"weight": 1.0, "form": "paper"},
        "ce": {"weight": 0.5},
        "soft_target": {"weight": 0.5, "temperature": 1.0},
    },
    "attention": {"ce": {"weight": 1.0}, "attention": {"weight": 1000.0, "form": "code"}},
    # rkd/: its KDLoss has α = 1, that is the labels alone.
    "relational": {
        "ce": {"weight": 1.0},
        "relational_distance": {"weight": 1.0},
        "relational_angle": {"weight": 2.0},
    },
    # crd/: 2 · (½ CE + ½ T²·KL) + 0.8 CRD.
    "contrastive": {
        "ce": {"weight": 1.0},
        "soft_target": {"weight": 1.0, "temperature": 4.0},
        "contrastive": {"weight": 0.8, "temperature": 0.07},
    },
    "dist": {"ce": {"weight": 1.0}, "dist": {"weight": 2.0, "temperature": 1.0, "inter": 1.0, "intra": 1.0}},
    # ickd/: 500, but its loss is divided by the batch's size once more, which is 256 there.
    "ickd": {
        "ce": {"weight": 0.5},
        "soft_target": {"weight": 0.5, "temperature": 1.0},
        "ickd": {"weight": 500 / 256},
    },
    "srd": {
        "ce": {"weight": 1.0},
        "soft_target": {"weight": 1.0, "temperature": 1.0},
        "srd": {"weight": 2.0, "power": 4.0},
    },
    # pad/: the second of its stages; in the first the mean squared difference takes the place of PAD.
    "pad": {"ce": {"weight": 1.0}, "pad": {"weight": 1.0}},
    # skd/: without the factor T².
    "skd": {"soft_target": {"weight": 1 / 16, "temperature": 4.0}, "skd": {"weight": 1.0, "ridge": 0.1}},
}

_PUBLISHED: dict[str, dict[str, Terms]] = {
    "paper": _PAPER,
    "repdistiller": _REPDISTILLER,
    "mdistiller": {
        **{method: terms for method, terms in _REPDISTILLER.items() if method not in ("fsp", "ab", "ft")},
        "dkd": _DKD,
        "review": _REVIEW,
        "ofd": {"ce": {"weight": 1.0}, "ofd": {"weight": 0.001}},
        "kdsvd": {"ce": {"weight": 1.0}, "kdsvd": {"weight": 1.0, "form": "columns"}},
    },  # its cfg.py has RepDistiller's numbers
    "torchdistill": _TORCHDISTILL,
}


def published(convention: str, method: str) -> Terms:
    """The terms of a published distillation objective.

    For ``config.terms``. The taps of ``hint``, ``attention``, ``similarity``, ``nst``, ``vid``, ``fsp``, ``ab``,
    ``ft``, ``ofd``, ``kdsvd``, ``ickd`` and ``review`` are still to be named, and are asked for; those of
    ``relational_*``, ``contrastive``, ``cc``, ``crd``, ``srd``, ``pad`` and ``pkt`` are the penultimate features. The
    ``hint`` of ``paper`` and of ``torchdistill`` is trained in two stages: ``hint`` alone for the layers up to the
    guided one, then the other terms for all layers; which are on when is the plan's to say. So are ``fsp``, ``ab`` and
    ``ft``: configs/distill/cifar100.py has their plans.

    Args:
      convention: ``paper``, ``repdistiller``, ``mdistiller`` or ``torchdistill``; see the table above.
      method: ``kd``, ``hint``, ``attention``, ``relational``, ``similarity``, ``contrastive``, ``pkt``, ``nst``,
        ``cc``, ``vid``, ``crd``, ``fsp``, ``ab``, ``ft``, ``ofd``, ``kdsvd``, ``review``, ``dkd``, ``dist``, ``nkd``,
        ``ickd``, ``srd``, ``pad``, ``skd``, ``ctkd``, ``ctkd_standardized``, ``deit``, ``standardized``, ``sdd_kd``,
        ``sdd_dkd``, ``sdd_nkd``, ``mlkd`` or ``mlkd_standardized``, as far as the convention has it; the last two have
        terms of a second view, ``strong``, which ``config.views`` describes.

    Returns:
      The options of each term, by the term's name; a new dict, free to be changed.

    Raises:
      UserError: if there is no such convention, or it has no such method.
    """
    check_known(convention, _PUBLISHED, f"published: convention {convention!r}")
    methods = _PUBLISHED[convention]
    check_known(method, methods, f"published: {convention} has no method {method!r}")
    return copy.deepcopy(methods[method])
