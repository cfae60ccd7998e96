"""Writes repdistiller.npz: what RepDistiller's CC, VID and CRD make of numbers that numpy draws.

It needs an environment with torch, and a checkout of https://github.com/HobbitLong/RepDistiller:

    python tests/losses/goldens/make_repdistiller_goldens.py /path/to/RepDistiller
"""

import importlib.util
import pathlib
import sys
import types

import numpy as np
import torch

HERE, RNG = pathlib.Path(__file__).parent, np.random.default_rng(0)


def module(name: str) -> types.ModuleType:
    """A file of the checkout, without what lies beside it."""
    path = pathlib.Path(sys.argv[1], *name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    sys.modules[name] = made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def congruence() -> dict:
    student, teacher = normal(2, 7, 5)
    value = module("distiller_zoo.CC").Correlation()(torch.tensor(student), torch.tensor(teacher))
    return {"student": student, "teacher": teacher, "value": value.numpy()}


def variational() -> dict:
    student, teacher = normal(3, 4, 8, 8), normal(3, 6, 4, 4)
    loss = module("distiller_zoo.VID").VIDLoss(4, 6, 6)
    found = {"student": student, "teacher": teacher, "first_scale": loss.log_scale.detach().numpy().copy()}
    with torch.no_grad():
        for number, parameter in enumerate(loss.regressor.parameters()):
            parameter.copy_(torch.tensor(normal(*parameter.shape) / 2))
            found[f"conv{number + 1}"] = parameter.numpy().copy()
        loss.log_scale.copy_(torch.tensor(normal(6) + 1))
    found["scale"] = loss.log_scale.detach().numpy()
    found["value"] = loss(torch.tensor(student), torch.tensor(teacher)).detach().numpy()
    return found


def contrastive() -> dict:
    """Two steps, with a memory of 12 examples."""
    module("crd.memory").AliasMethod.cuda = lambda self: None
    options = types.SimpleNamespace(s_dim=6, t_dim=9, feat_dim=4, nce_k=5, nce_t=0.07, nce_m=0.5, n_data=12)
    loss = module("crd.criterion").CRDLoss(options)
    found = {name: parameter.detach().numpy().copy() for name, parameter in loss.named_parameters()}
    found |= {f"memory{i}": getattr(loss.contrast, f"memory_v{i}").numpy().copy() for i in (1, 2)}
    for step in range(2):
        student, teacher = normal(3, 6), normal(3, 9)
        ids, negatives = RNG.permutation(12)[:3], RNG.integers(0, 12, (3, 5))
        given = torch.tensor(student, requires_grad=True)
        both = torch.tensor(np.concatenate([ids[:, None], negatives], 1))
        value = loss(given, torch.tensor(teacher), torch.tensor(ids), both)
        value.sum().backward()
        after = {"student": student, "teacher": teacher, "ids": ids, "negatives": negatives}
        after |= {"value": value.detach().numpy(), "gradient": given.grad.numpy()}
        after |= {f"memory{i}": getattr(loss.contrast, f"memory_v{i}").numpy().copy() for i in (1, 2)}
        after["z"] = loss.contrast.params.detach().numpy()[2:4].copy()
        found |= {f"step{step}/{name}": array for name, array in after.items()}
    return found


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    parts = {"cc": congruence(), "vid": variational(), "crd": contrastive()}
    arrays = {f"{part}/{name}": array for part, found in parts.items() for name, array in found.items()}
    np.savez_compressed(HERE / "repdistiller.npz", **arrays)


if __name__ == "__main__":
    main()
