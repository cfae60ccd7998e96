"""Writes two_stages.npz: what RepDistiller's and mdistiller's AB, FT, FSP, OFD and KD-SVD make of numbers.

It needs an environment with torch and scipy, and checkouts of https://github.com/HobbitLong/RepDistiller and
https://github.com/megvii-research/mdistiller:

    python tests/losses/goldens/make_two_stage_goldens.py /path/to/RepDistiller /path/to/mdistiller
"""

import importlib.util
import pathlib
import sys
import types

import numpy as np
import torch

HERE, RNG = pathlib.Path(__file__).parent, np.random.default_rng(0)


def module(checkout: str, name: str) -> types.ModuleType:
    """A file of a checkout, without what lies beside it."""
    path = pathlib.Path(checkout, *name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def maps(*shapes: tuple[int, ...]) -> tuple[list[np.ndarray], list[torch.Tensor]]:
    drawn = [normal(*shape) for shape in shapes]
    return drawn, [torch.tensor(one) for one in drawn]


def filled(network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Draws the parameters of a network, in training, and returns them."""
    network.train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.tensor(normal(*parameter.shape) / 2))
    return {name: parameter.detach().numpy().copy() for name, parameter in network.named_parameters()}


def boundaries(repdistiller: str) -> dict:
    """Three layers: the first needs no connector."""
    students, ours = maps((3, 4, 8, 8), (3, 6, 4, 4), (3, 5, 4, 4))
    teachers, theirs = maps((3, 4, 8, 8), (3, 8, 4, 4), (3, 7, 4, 4))
    connector = module(repdistiller, "models.util").Connector([x.shape for x in ours], [x.shape for x in theirs])
    found = {f"student{i}": x for i, x in enumerate(students)} | {f"teacher{i}": x for i, x in enumerate(teachers)}
    found |= filled(connector)
    values = module(repdistiller, "distiller_zoo.AB").ABLoss(3)(connector(ours), theirs)
    return {**found, "value": sum(values).detach().numpy()}


def factors(repdistiller: str) -> dict:
    util = module(repdistiller, "models.util")
    (student, teacher), (ours, theirs) = maps((3, 5, 8, 8), (3, 6, 4, 4))
    paraphraser, translator = util.Paraphraser(theirs.shape), util.Translator(ours.shape, theirs.shape)
    found = {f"paraphraser.{name}": array for name, array in filled(paraphraser).items()}
    found |= {f"translator.{name}": array for name, array in filled(translator).items()}
    factor, again = paraphraser(theirs)
    value = module(repdistiller, "distiller_zoo.FT").FactorTransfer()(translator(ours), factor)
    lost = torch.nn.functional.mse_loss(again, theirs)
    return {"student": student, "teacher": teacher, "value": value.detach(), "lost": lost.detach(), **found}


def flow(repdistiller: str) -> dict:
    shapes = (2, 3, 8, 8), (2, 4, 8, 8), (2, 5, 4, 4)
    (students, ours), (teachers, theirs) = maps(*shapes), maps(*shapes)
    values = module(repdistiller, "distiller_zoo.FSP").FSP(shapes, shapes)(ours, theirs)
    found = {f"student{i}": x for i, x in enumerate(students)} | {f"teacher{i}": x for i, x in enumerate(teachers)}
    return {**found, "value": sum(values)}


def of_mdistiller(checkout: str, name: str) -> types.ModuleType:
    """A distiller of mdistiller, without the package around it."""
    sys.modules["mdistiller"] = package = types.ModuleType("mdistiller")
    package.__path__ = []
    base = types.ModuleType("mdistiller._base")
    base.Distiller = torch.nn.Module
    sys.modules["mdistiller._base"] = base
    path = pathlib.Path(checkout, "mdistiller", "distillers", f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"mdistiller.{name}", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def overhaul(mdistiller: str) -> dict:
    made = of_mdistiller(mdistiller, "OFD")
    (student, teacher), (ours, theirs) = maps((3, 4, 5, 5), (3, 4, 5, 5))
    margin = -np.abs(normal(4))
    value = made.feat_loss(ours, theirs, torch.tensor(margin)[None, :, None, None])
    return {"student": student, "teacher": teacher, "margin": margin, "value": value}


def singular(repdistiller: str, mdistiller: str) -> dict:
    """With the signs of singular vectors that a rule gives them, in the place of those that they happen to have."""
    decompose = torch.svd

    def signed(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        u, s, v = decompose(x)
        signs = torch.where(torch.take_along_dim(v, v.abs().argmax(1, keepdim=True), 1) < 0, -1.0, 1.0)
        return u * signs, s, v * signs

    shapes = (3, 5, 6, 6), (3, 7, 6, 6), (3, 6, 4, 4)
    (students, ours), (teachers, theirs) = maps(*shapes), maps(*shapes)
    for x in ours:
        x.requires_grad_()
    torch.svd = signed
    value = sum(module(repdistiller, "distiller_zoo.KDSVD").KDSVD()(ours, theirs))
    value.backward()
    found = {f"student{i}": x for i, x in enumerate(students)} | {f"teacher{i}": x for i, x in enumerate(teachers)}
    found |= {f"gradient{i}": x.grad.numpy() for i, x in enumerate(ours)}
    columns = of_mdistiller(mdistiller, "KDSVD").kdsvd_loss(ours, theirs, 1)
    return {**found, "value": value.detach(), "columns": columns.detach()}


def main() -> None:
    repdistiller, mdistiller = sys.argv[1:]
    parts = {"ab": boundaries(repdistiller), "ft": factors(repdistiller), "fsp": flow(repdistiller)}
    parts |= {"ofd": overhaul(mdistiller), "svd": singular(repdistiller, mdistiller)}
    arrays = {f"{part}/{name}": array for part, found in parts.items() for name, array in found.items()}
    np.savez_compressed(HERE / "two_stages.npz", **arrays)


if __name__ == "__main__":
    main()
