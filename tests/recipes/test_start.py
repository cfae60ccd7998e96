"""Starting from weights that were trained elsewhere, and teachers of such weights."""

import jax
import numpy as np
import pytest
import small_configs
from models.goldens.random_weights import random_weights
from processes import REPOSITORY
from safetensors.numpy import save_file

from effjax.errors import UserError
from effjax.images import resize
from effjax.models import foreign
from effjax.recipes import schema
from effjax.recipes.build.start import start_from
from effjax.recipes.build.teachers import make_teacher
from effjax.recipes.train.runs import TrainingExperiment

SCALE = ((127 / 255,), (128 / 255,))


def small(data_dir, **keys):
    config = small_configs.plain()
    config.data.update(train="train[:64]", validation="validation[:32]", test="test[:32]", dir=str(data_dir))
    config.eval_batch_size = 32
    config.view.mean, config.view.std = keys.pop("scale", SCALE)
    run = config.runs.student
    run.model = {"name": "efficientnet_lite0"}
    run.init = "shipped"
    run.update(keys)
    config.runs = {"student": run}
    return config


def test_the_weights_take_the_place_of_what_was_drawn(tmp_path, data_dir):
    experiment = TrainingExperiment(small(data_dir).to_dict(), tmp_path)
    assembled = experiment.runs["student"]
    shapes = jax.eval_shape(assembled.init, np.uint32(0))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    state, sha = start_from(zeros, assembled, experiment.datasets, "config.runs.student")
    given = foreign.load_foreign("efficientnet_lite0").variables
    params = state.params["student"]
    assert len(sha) == 64
    assert not params["classifier"]["kernel"].any()  # ten classes, not a thousand: as it was drawn
    np.testing.assert_array_equal(params["head_conv"]["kernel"], given["params"]["head_conv"]["kernel"])
    means = jax.tree.leaves(state.model_state["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, means, jax.tree.leaves(given["batch_stats"]))
    # Grey, shown in three equal channels, gives what the folded kernel gives.
    kernel = given["params"]["stem_conv"]["kernel"]
    patch = np.random.default_rng(0).normal(size=(3, 3))
    thrice = np.einsum("hwc,hwco->o", np.repeat(patch[..., None], 3, -1), kernel)
    folded = np.einsum("hwc,hwco->o", patch[..., None], params["stem_conv"]["kernel"])
    np.testing.assert_allclose(folded, thrice, rtol=1e-5)


def refused(config, workdir):
    """Before anything is trained: another run may have come first."""
    with pytest.raises(UserError) as caught:
        TrainingExperiment(config.to_dict(), workdir)
    return str(caught.value)


def test_weights_that_expect_another_scale_are_refused(tmp_path, data_dir):
    message = refused(small(data_dir, scale=((0.0,), (1.0,))), tmp_path)
    assert "config.runs.student.init='shipped': these weights expect config.view.mean=(0.498" in message


def test_a_model_that_nobody_ships_is_refused(tmp_path, data_dir):
    message = refused(small(data_dir, model={"name": "mlp"}), tmp_path)
    assert "no foreign weights are known for the model 'mlp'" in message


TEACHERS = {
    "no classes": ({}, r"classes is missing: the teacher knows 1000 classes, 'digits' has 10"),
    "no such class": ({"classes": ["tabi", *range(9)]}, r"the teacher has no class 'tabi'; .*tabby"),
    "too few": ({"classes": ["tabby"]}, r"classes has 1 entries, 'digits' has 10 classes"),
}


@pytest.mark.parametrize(("given", "said"), TEACHERS.values(), ids=TEACHERS)
def test_teachers_that_do_not_fit(given, said, tmp_path, data_dir):
    config = small_configs.plain()
    config.data.dir = str(data_dir)
    config.runs.distilled.teachers.teacher = schema.teacher_of_weights("efficientnet_lite0", **given)
    with pytest.raises(UserError, match=said):
        TrainingExperiment(config.to_dict(), tmp_path)


def test_a_file_does_not_tell_the_scale_of_its_images(tmp_path, data_dir):
    path = REPOSITORY / "tests" / "models" / "goldens" / "resnets.npz"
    rows = [row.split() for row in np.load(path)["resnet18/shapes"]]
    save_file(random_weights({name: tuple(map(int, shape)) for name, *shape in rows}), tmp_path / "w.safetensors")
    config = small_configs.plain()
    config.data.dir = str(data_dir)
    path = str(tmp_path / "w.safetensors")
    scale = {"mean": (0.5,), "std": (0.5,)}
    config.runs.distilled.teachers.teacher = schema.teacher_of_weights("resnet18", part="layer5", file=path, **scale)
    with pytest.raises(UserError, match=r"w\.safetensors has no state dict 'layer5'; it has no parts"):
        TrainingExperiment(config.to_dict(), tmp_path / "work")
    config.runs.distilled.teachers.teacher = schema.teacher_of_weights("resnet18", part="ema")
    with pytest.raises(UserError, match=r"teacher\.part='ema': .*the file of .*teacher\.weights, which is missing"):
        TrainingExperiment(config.to_dict(), tmp_path / "work")
    config.runs.distilled.teachers.teacher = schema.teacher_of_weights("resnet18", file=path)
    with pytest.raises(UserError, match=r"teacher\.mean and \.std are missing: .* usually trained with mean=\(0\.485"):
        TrainingExperiment(config.to_dict(), tmp_path / "work")


def vit_file(tmp_path):
    goldens = np.load(REPOSITORY / "tests" / "models" / "goldens" / "zoo.npz")
    rows = [row.split() for row in goldens["timm/vit_tiny_patch16_224/shapes"]]
    save_file(random_weights({name: tuple(map(int, shape)) for name, *shape in rows}), tmp_path / "vit.safetensors")
    return str(tmp_path / "vit.safetensors")


def test_positions_follow_the_images(tmp_path, data_dir):
    file = vit_file(tmp_path)
    table = foreign.load_foreign("vit_t_16", file).variables["params"]["position_table"]
    config = small(data_dir, model={"name": "vit_t_16"}, init=file)
    config.data.image_size = 48
    source = schema.teacher_of_weights("vit_t_16", file=file, image_size=32, classes=range(10), mean=(0.5,), std=(0.5,))
    experiment = TrainingExperiment(config.to_dict(), tmp_path / "work")
    assembled = experiment.runs["student"]
    spec = make_teacher("teacher", source.to_dict(), lambda _: None, experiment.datasets, (48, 48, 1))
    teacher = spec.load(lambda *_: None)["params"]["position_table"]
    assert spec.shapes["params"]["position_table"].shape == teacher.shape
    np.testing.assert_allclose(teacher, resize(table, (2, 2), method="cubic"), atol=1e-6)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), jax.eval_shape(assembled.init, np.uint32(0)))
    state, _ = start_from(zeros, assembled, experiment.datasets, "config.runs.student")
    kernel = foreign.load_foreign("vit_t_16", file).variables["params"]["embed"]["kernel"]
    np.testing.assert_allclose(state.params["student"]["embed"]["kernel"][1], kernel[3:6].sum(0), rtol=1e-6)
    own = state.params["student"]["position_table"]
    np.testing.assert_allclose(own, resize(table, (3, 3), method="cubic"), atol=1e-6)
