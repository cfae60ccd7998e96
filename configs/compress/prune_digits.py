"""Pruned networks with and without a teacher: 80 %, 90 %, two of four, and sparse from the first step to the last.

  python -m launch.data --dataset=digits --data_dir=data
  python -m launch.train --config=configs/compress/prune_digits.py --workdir=runs/prune --results=results/prune.md

On 5,000 real digits, an S-CNN whose first kernel stays dense. Gradual pruning removes the smallest weights along a
cubic ramp, from a tenth to six tenths of training; two of four are removed at once, after three tenths of it; RigL is
as sparse from its first step on, and exchanges weights. All have one length. The teacher is the dense network, whose
answers are stored: each pruned network learns once from labels alone, and once from them and the teacher. The control
of every taught network is the same one without a teacher, and the dense network is taught too: what a teacher gives is
not what pruning costs.
Cost: one to two hours on two CPU cores. Expected: a table in results/prune.md. Variant ``tiny``: minutes, no
result.

Sources: Zhu & Gupta 2017 (https://arxiv.org/abs/1710.01878), Mishra et al. 2021 (https://arxiv.org/abs/2104.08378),
Evci et al. 2020 (https://arxiv.org/abs/1911.11134).
"""

from effjax.recipes import schema

KD = {"ce": {"weight": 0.5}, "soft_target": {"weight": 0.5, "temperature": 4.0}}
DENSE = "student/conv1/kernel"
RENEWED = 20  # steps between two looks at the masks, a quarter of an epoch


def ramp(sparsity: float):
    """From dense to a sparsity, between a tenth and six tenths of the run."""
    return (0.0, 0.0), (0.1, f"cubic {sparsity}"), (0.6, sparsity)


WAYS = {  # name -> label, plan, which weights
    "sparse_80": ("80 % removed", ramp(0.8), {}),
    "sparse_90": ("90 % removed", ramp(0.9), {}),
    "two_of_four": ("2:4", ((0.0, 0.0), (0.3, 0.5)), {"structure": "2:4"}),
    "rigl_90": ("90 %, RigL", ((0.0, 0.9),), {"renewal": "rigl", "scope": "erk"}),
}


def get_config(variant: str = ""):
    schema.check_variant(variant, ("tiny",))
    config = schema.experiment()
    config.title = "Pruning with and without a teacher, on digits"
    config.num_seeds = 1 if variant else 5
    config.view.mean, config.view.std = (0.13,), (0.31,)

    dense = schema.run(label="dense: S-CNN", model={"name": "scnn"}, epochs=12.0, batch_size=50)
    taught = schema.teacher_of_run("dense", cached="float32")
    runs = {"dense": dense, "dense_taught": schema.distilled(dense, "dense, taught", KD, taught)}
    for name, (label, plan, pruning) in WAYS.items():
        runs[name] = dense.copy_and_resolve_references()
        runs[name].label = label
        runs[name].plans.sparsity = plan
        runs[name].pruning.update(every=RENEWED, dense=DENSE, **pruning)
        runs[f"{name}_taught"] = schema.distilled(runs[name], f"{label}, taught", KD, taught)
    config.runs, config.table = runs, tuple(runs)
    config.control, config.reference = "dense", "dense"
    config.claims = (
        ("A teacher helps where 90 % are removed", "sparse_90_taught", "sparse_90"),
        ("A teacher helps where two of four are", "two_of_four_taught", "two_of_four"),
        ("A teacher helps what is sparse from the start", "rigl_90_taught", "rigl_90"),
        ("To prune by and by beats to train sparse", "sparse_90", "rigl_90"),
    )
    if variant == "tiny":
        for run in config.runs.values():
            run.epochs, run.evaluations, run.pruning.every = 1.0, 2, 10 if run.plans else 100
    return config
