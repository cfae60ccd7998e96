"""A teacher that the user's own function makes, its variables from the function or from a file."""

import flax.linen as nn
import flax.serialization
import flax.traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy
import small_configs

from effjax.errors import UserError
from effjax.recipes import schema
from effjax.recipes.build.own_teachers import own_teacher
from effjax.recipes.train.runs import TrainingExperiment

SOURCE = """
import flax.linen as nn
import jax
import numpy as np
from flax import nnx


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(10, name="last")(x.reshape(len(x), -1))


def alone():
    return Net()


def whole():
    module = Net()
    return module, module.init(jax.random.key(3), np.zeros((1, 28, 28, 1)), train=False)


def nothing():
    return 3


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(1, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(784, 10, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(self.norm(x)).reshape(len(x), -1))


def modern():
    return Nnx(nnx.Rngs(5))


def cached():
    module = Nnx(nnx.Rngs(5))
    module.seen = nnx.Cache(np.zeros(3))
    return module
"""
SHAPE = (28, 28, 1)


@pytest.fixture
def source(tmp_path):
    (tmp_path / "my_teacher.py").write_text(SOURCE)
    return f"{tmp_path}/my_teacher.py"


def test_the_function_gives_the_network_and_its_variables(source):
    module, variables = own_teacher("teacher", f"{source}:whole", "", SHAPE)
    images = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    logits = module.apply(variables, images).logits
    assert module.num_classes == 10
    params = variables["params"]["last"]
    flat = images.reshape(2, -1) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(logits, flat @ params["kernel"] + params["bias"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "msgpack", "orbax"])
def test_the_variables_may_lie_in_a_file(suffix, source, tmp_path):
    _, variables = own_teacher("teacher", f"{source}:whole", "", SHAPE)
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    file = tmp_path / f"w.{suffix}"
    if suffix == "npz":
        np.savez(file, **flat)
    elif suffix == "safetensors":
        safetensors.numpy.save_file(flat, file)
    elif suffix == "orbax":
        with ocp.StandardCheckpointer() as writer:
            writer.save(file, variables)
    else:
        file.write_bytes(flax.serialization.msgpack_serialize(variables))
    _, read = own_teacher("teacher", f"{source}:alone", str(file), SHAPE)
    jax.tree.map(np.testing.assert_array_equal, read, variables)


def test_what_is_wrong_is_said_in_one_line(source, tmp_path):
    np.savez(tmp_path / "w.npz", **{"params/last/kernel": np.zeros((3, 10))})
    (tmp_path / "broken.npz").write_bytes(b"none")
    fits = flax.traverse_util.flatten_dict(own_teacher("teacher", f"{source}:whole", "", SHAPE)[1], sep="/")
    np.savez(tmp_path / "more.npz", **fits, **{"params/first/bias": np.zeros(3)})
    for named, file, said in (
        (f"{source}:alon", "", r"has no function 'alon'; .*did you mean 'alone'"),
        (
            f"{source}:alone",
            "",
            r"returns no variables: return \(module, variables\), or name their file in teacher\.file",
        ),
        (f"{source}:nothing", "", r"returns 3; allowed: a flax\.linen module"),
        (f"{source}:alone", str(tmp_path / "w.npz"), r"params/last/kernel \(3, 10\)≠\(784, 10\)"),
        (
            f"{source}:alone",
            str(tmp_path / "more.npz"),
            r"of the network: params/first/bias surplus$",
        ),
        (f"{source}:alone", str(tmp_path / "broken.npz"), r"broken\.npz: cannot be read"),
        (f"{source}:alone", str(tmp_path), r"cannot be read"),
        (f"{source}:alone", str(tmp_path / "w.pth"), r"unknown kind of file '\.pth'"),
        (f"{source}:alone", str(tmp_path / "v.npz"), r"did you mean 'w\.npz'"),
        ("alone", "", r"allowed: 'package\.module:function' or"),
        ("no_such_package:make", "", r"there is no module 'no_such_package'"),
        (f"{tmp_path}/my_teachr.py:alone", "", r"did you mean 'my_teacher\.py'"),
    ):
        with pytest.raises(UserError, match=said) as error:
            own_teacher("teacher", named, file, SHAPE)
        assert "\n" not in str(error.value)


class Deterministic(nn.Module):
    """Says by another name that it does not train."""

    @nn.compact
    def __call__(self, x, deterministic):
        assert deterministic
        return nn.Dense(2)(x.mean((1, 2)))


def make():
    module = Deterministic()
    return module, module.init(jax.random.key(0), np.zeros((1, 4, 4, 3)), deterministic=True)


def test_a_module_of_flax_nnx(source):
    module, variables = own_teacher("teacher", f"{source}:modern", "", SHAPE)
    images = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    params = variables["params"]["last"]
    expected = images.reshape(2, -1) / np.sqrt(1 + 1e-5) @ params["kernel"] + params["bias"]
    np.testing.assert_allclose(module.apply(variables, images).logits, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match=r"teacher.function=.*:cached': a flax.nnx module holds Cache; allowed: Param"):
        own_teacher("teacher", f"{source}:cached", "", SHAPE)


def test_a_function_of_an_importable_module():
    module, variables = own_teacher("teacher", f"{__name__}:make", "", (4, 4, 3))
    assert module.apply(variables, np.zeros((5, 4, 4, 3), np.float32)).logits.shape == (5, 2)


@pytest.mark.parametrize("function", ["whole", "modern"])
def test_a_run_learns_from_it(function, source, tmp_path, data_dir):
    config = small_configs.plain()
    config.data.update(train="train[:64]", validation="validation[:32]", test="test[:32]", dir=str(data_dir))
    config.eval_batch_size = 32
    config.runs = {"distilled": config.runs.distilled}
    config.runs.distilled.teachers.teacher = schema.teacher_of_function(f"{source}:{function}", mean=(0.5,), std=(0.5,))
    (done,) = TrainingExperiment(config.to_dict(), tmp_path / "work").train()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(done.variables()))
    config.runs.distilled.teachers.teacher.std = ()
    with pytest.raises(UserError, match=r"teacher\.mean and \.std are missing"):
        TrainingExperiment(config.to_dict(), tmp_path / "work")
