"""PyTorch's files read as numbers: every kind of tensor, and hostile files, in which nothing runs."""

import argparse
import builtins
import collections
import datetime
import functools
import io
import json
import logging
import os
import pickle
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from effjax.errors import UserError
from effjax.models.foreign import load_foreign, read_pth, read_safetensors

GOLDENS = Path(__file__).parent / "goldens"


@pytest.mark.parametrize("file", ["small_zip.pth", "small_legacy.pth"])
def test_both_formats_of_pytorch(file):
    expected = dict(np.load(GOLDENS / "small.npz"))
    read = read_pth(GOLDENS / file)
    assert list(read) == list(expected)
    for name, array in read.items():
        assert array.dtype.name == ("bfloat16" if name == "bfloat16" else expected[name].dtype.name)
        assert not array.flags.writeable
        np.testing.assert_array_equal(array.astype(expected[name].dtype), expected[name], strict=True)
    assert np.shares_memory(read["float32"], read["window"])


def as_zip(data_pkl, storages=(), **options):
    """A file as torch.save lays it out, with any pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        archive.writestr("a/data.pkl", data_pkl)
        for key, content in dict(storages).items():
            archive.writestr(f"a/data/{key}", content)
    return buffer.getvalue()


MAGIC = 0x1950A86A20F9469CFC6C


def as_legacy(data_pkl, head=(MAGIC, 1001, {"little_endian": True}), keys=()):
    """A file as torch.save wrote them before 1.6, but for what is in its storages."""
    return b"".join(pickle.dumps(value, 2) for value in head) + data_pkl + pickle.dumps([*keys], 2)


def refused(tmp_path, content):
    """The error's one line; fails if the file is read, or if it does not name the file."""
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_pth(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


class Runs:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def touch(tmp_path):
    return f"touch {tmp_path / 'ran'}"


HOSTILE = {
    "posix.system": lambda tmp: pickle.dumps({"w": Runs(os.system, touch(tmp))}, 2),
    "builtins.eval": lambda tmp: pickle.dumps({"w": Runs(eval, f"open({str(tmp / 'ran')!r}, 'w')")}, 4),
    "builtins.exec": lambda tmp: pickle.dumps([Runs(exec, f"open({str(tmp / 'ran')!r}, 'w')")], 4),
    "builtins.getattr": lambda tmp: b"\x80\x02cbuiltins\ngetattr\n.",
    "torch.load": lambda tmp: b"\x80\x02ctorch\nload\nX\x01\x00\x00\x00a\x85R.",
    "os.system": lambda tmp: b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.",
    "torch.nn.modules.linear.Linear": lambda tmp: b"\x80\x02ctorch.nn.modules.linear\nLinear\n)\x81}b.",
}


@pytest.mark.parametrize("container", [as_zip, as_legacy])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_calls_code_is_refused_by_name_and_nothing_runs(name, container, tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("the pickle was executed")

    content = container(HOSTILE[name](tmp_path))
    refused(tmp_path, content)  # imports, which use exec, what is only imported where it is needed
    assert not (tmp_path / "ran").exists()
    for module, function in [(os, "system"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")]:
        monkeypatch.setattr(module, function, forbidden)
    for function in ("eval", "exec"):
        monkeypatch.setattr(builtins, function, forbidden)
    message = refused(tmp_path, content)
    monkeypatch.undo()
    assert repr(name) in message
    assert "torch.save(model.state_dict()" in message
    assert not (tmp_path / "ran").exists()


ORDERED = b"ccollections\nOrderedDict\n"
WITH_ATTRIBUTES = b"ctorch._tensor\n_rebuild_from_type_v2\n"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def storage(key="0", size=4, kind=b"ctorch\nFloatStorage\n"):
    word = lambda text: b"X" + struct.pack("<I", len(text)) + text.encode()  # noqa: E731
    return b"(" + word("storage") + kind + word(key) + word("cpu") + number(size) + b"tQ"


def number(value):
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def tensor(offset=0, shape=(4,), strides=(1,), **kwargs):
    tuples = b"".join(b"(" + b"".join(map(number, counts)) + b"t" for counts in (shape, strides))
    return REBUILD + b"(" + storage(**kwargs) + number(offset) + tuples + b"\x89" + ORDERED + b")Rt" + b"R"


def state(*values):
    items = b"".join(b"X\x01\x00\x00\x00" + bytes([97 + i]) + value for i, value in enumerate(values))
    return b"\x80\x02}(" + items + b"u."


FOUR = {"0": np.arange(4, dtype=np.float32).tobytes()}


def test_the_hand_made_pickle_is_itself_a_good_one(tmp_path):
    (tmp_path / "w.pth").write_bytes(as_zip(state(tensor(), tensor(1, (2,), (2,))), FOUR))
    read = read_pth(tmp_path / "w.pth")
    assert {name: array.tolist() for name, array in read.items()} == {"a": [0, 1, 2, 3], "b": [1, 3]}


@pytest.mark.parametrize(
    ("pickled", "part"),
    [
        (state(tensor(shape=(5,))), "exceeds its storage of 4"),
        (state(tensor(offset=1)), "exceeds its storage"),
        (state(tensor(offset=-1)), "unknown storage, shape or strides"),
        (state(tensor(strides=(-1,))), "unknown storage, shape or strides"),
        (state(tensor(shape=(2**60,), strides=(0,))), "expanded to shape"),
        (state(tensor(shape=(2, 2), strides=(1,))), "unknown storage, shape or strides"),
        (state(tensor(size=2**62, shape=(2**62,))), "16 bytes of"),
        (state(tensor(key="../../a")), "0 bytes of 16"),
        (state(tensor(kind=b"ctorch\nUntypedStorage\n")), "'torch.UntypedStorage'"),
        (state(tensor(kind=ORDERED)), "unknown type or size"),
        (state(tensor(), tensor(size=2)), "two types or sizes"),
        (state(tensor(shape=(1,), strides=(2**62,))), "no array has"),
        (state(tensor(shape=(0, 2**62), strides=(1, 1))), "no array has"),
        (state(tensor(shape=(1,) * 99, strides=(1,) * 99)), "unknown storage, shape or strides"),
        (state(b"}R"), "broken"),
        (state(ORDERED + b"}R"), "not a function"),
        (state(ORDERED + b")R" + b"N}b"), "broken"),
        (state(ORDERED + b"}b"), "set the attributes"),
        (state(b"X\x01\x00\x00\x00x)R"), "not a function"),
        (state(b"(iposix\nsystem\n"), "opcode INST"),
        (state(b"(cposix\nsystem\no"), "opcode OBJ"),
        (state(b"cposix\nsystem\n)R"), "'posix.system'"),
        (state(b"cposix\nsystem\n)\x81"), "'posix.system'"),
        (state(b"K\x01)\x81"), "not a class"),
        (state(tensor(kind=b"ctorch\nFloat8Storage\n")), "'torch.Float8Storage'"),
        (state(WITH_ATTRIBUTES + b"(" + WITH_ATTRIBUTES + b"N)tR"), "another function than tensors"),
        (state(b"\x82\x01"), "opcode EXT1"),
        (b"\x80\x02}(]Nu.", "no names or numbers"),
        (b"\x80\x02}(" + b"))\x86" * 2 + b"\x86Nu.", "no names or numbers"),
        (b"\x80\x02K\x01.", "no dict of tensors"),
        (b"\x80\x02}.", "no tensors by name"),
        (b"\x80\x02h\x05.", "broken"),
        (b"\x80\x02.", "broken"),
        (b"", "cut off"),
        (b"\x80\x02}(X\xff\xff\xff\xffa", "broken or cut off"),
    ],
)
def test_broken_and_hostile_pickles_are_refused(pickled, part, tmp_path):
    assert part in refused(tmp_path, as_zip(pickled, FOUR))


def test_broken_containers_are_refused(tmp_path):
    good = as_zip(state(tensor()), FOUR)
    assert "damaged" in refused(tmp_path, good[: len(good) // 2])
    assert "damaged" in refused(tmp_path, good.replace(FOUR["0"], b"\1" * 16))
    assert "compressed" in refused(tmp_path, as_zip(b"\0" * 10**6, compression=zipfile.ZIP_DEFLATED))
    assert "no zip archive of torch.save" in refused(tmp_path, as_zip(b"", {}).replace(b"data.pkl", b"code.pkl"))
    big = as_zip(state(tensor()), FOUR | {"0123": b"big"}).replace(b"a/data/0123", b"a/byteorder")
    assert "written by a big-endian machine" in refused(tmp_path, big)
    program = refused(tmp_path, as_zip(state(tensor()), FOUR).replace(b"a/data/0", b"a/code/0"))
    assert "TorchScript program: load it with torch.jit.load" in program
    for content in (b"", b"\x89PNG....", b"PK\x03\x04", b"x" * 1000):
        refused(tmp_path, content)


def test_what_an_old_file_says_of_itself_is_looked_at(tmp_path):
    four = FOUR["0"]
    counted = struct.pack("<Q", 4) + four
    (tmp_path / "w.pth").write_bytes(as_legacy(state(tensor()), keys=["0"]) + counted)
    assert read_pth(tmp_path / "w.pth")["a"].tolist() == [0, 1, 2, 3]
    for head in ([3, 1001, {}], [MAGIC, 3, {}], [MAGIC, 1001, 3]):
        assert "does not begin as a PyTorch file does" in refused(tmp_path, as_legacy(state(tensor()), head))
    for little in (False, 1, None):
        big = as_legacy(state(tensor()), [MAGIC, 1001, {"little_endian": little}], ["0"]) + counted
        assert "written by a big-endian machine" in refused(tmp_path, big)
    for key in ("1", 0):
        assert "a storage that no tensor uses" in refused(
            tmp_path, as_legacy(state(tensor()), keys=["0", key]) + counted
        )
    size = struct.pack("<Q", 3) + four
    assert "its storage '0' is not the one announced" in refused(
        tmp_path, as_legacy(state(tensor()), keys=["0"]) + size
    )
    assert "has 0 bytes of 16" in refused(tmp_path, as_legacy(state(tensor())))


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2, 0.4, 0.6, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("file", ["small_zip.pth", "small_legacy.pth"])
def test_files_that_are_cut_off_are_refused(file, share, tmp_path):
    content = (GOLDENS / file).read_bytes()
    refused(tmp_path, content[: int(share * len(content))])


def test_damage_anywhere_is_an_error_or_harmless(tmp_path):
    """Whatever byte is changed: either the weights are refused in one line, or arrays are read."""
    content = (GOLDENS / "small_legacy.pth").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "weights.pth"
    outcomes = collections.Counter()
    for _ in range(400):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            outcomes["read"] += all(isinstance(array, np.ndarray) for array in read_pth(path).values())
        except UserError:
            outcomes["refused"] += 1
    assert outcomes.total() == 400
    assert min(outcomes.values()) > 20


def test_a_missing_file_names_what_lies_beside_it(tmp_path):
    (tmp_path / "resnet18.pth").touch()
    with pytest.raises(UserError, match=r"did you mean 'resnet18\.pth'"):
        read_pth(tmp_path / "resnet81.pth")
    with pytest.raises(UserError, match="cannot be read"):
        read_safetensors(tmp_path / "none.safetensors")


def test_safetensors_with_bfloat16_and_prefixes(tmp_path):
    arrays = {"_orig_mod.a": np.ones((2, 3), ml_dtypes.bfloat16), "_orig_mod.b": np.arange(4)}
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors")
    read = read_safetensors(tmp_path / "w.safetensors")
    assert read["a"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(read["a"].astype(np.float32), np.ones((2, 3)))
    np.testing.assert_array_equal(read["b"], np.arange(4))


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x08\0\0\0\0\0\0\0notjson!"])
def test_broken_safetensors_are_refused(content, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"w\.safetensors: no readable safetensors file") as error:
        read_safetensors(tmp_path / "w.safetensors")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F4", "X7"])
def test_types_that_numpy_has_not_are_refused_by_name(kind, tmp_path):
    size = 1 if kind == "F4" else 2
    header = json.dumps({"w": {"dtype": kind, "shape": [2], "data_offsets": [0, size]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    with pytest.raises(UserError, match=rf"w\.safetensors: .*{kind}") as error:
        read_safetensors(path)
    assert "\n" not in str(error.value)


def entries(**values):
    """A pickled dict."""
    word = lambda text: b"X" + struct.pack("<I", len(text)) + text.encode()  # noqa: E731
    return b"}(" + b"".join(word(name) + value for name, value in values.items()) + b"u"


def checkpoint(tmp_path, **parts):
    """A file whose parts are state dicts of one tensor each, full of 0, 1, ….."""
    path = tmp_path / "w.pth"
    dicts = {name: entries(w=tensor(key=str(i))) for i, name in enumerate(parts)}
    storages = {str(i): np.full(4, value, np.float32).tobytes() for i, value in enumerate(parts.values())}
    path.write_bytes(as_zip(b"\x80\x02" + entries(epoch=number(3), **dicts) + b".", storages))
    return path


def test_an_average_is_read_and_what_lies_beside_it_is_said_and_read_by_name(tmp_path, caplog):
    path = checkpoint(tmp_path, state_dict=2, optimizer=9, model_ema=1)
    with caplog.at_level(logging.INFO, "effjax"):
        assert read_pth(path)["w"].tolist() == [1] * 4
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == (
        f"{path}: 'model_ema', an average over the training, is read, not state_dict or optimizer: "
        f"{path}#state_dict reads that"
    )
    assert read_pth(f"{path}#state_dict")["w"].tolist() == [2] * 4
    with pytest.raises(UserError, match=r"no state dict 'model_em'; allowed: .*did you mean 'model_ema'"):
        read_pth(f"{path}#model_em")
    with pytest.raises(UserError, match=r"resnet18: 1.* missing|not the weights of resnet18"):
        load_foreign("resnet18", f"{path}#model_ema")


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "net", "ema_state_dict", "teacher"])
def test_one_state_dict_is_found_whatever_it_is_called(wrapper, tmp_path):
    assert read_pth(checkpoint(tmp_path, **{wrapper: 1}))["w"].tolist() == [1] * 4


def test_of_several_that_have_no_usual_name_one_has_to_be_named(tmp_path):
    path = checkpoint(tmp_path, first=1, second=2)
    with pytest.raises(UserError, match=rf"holds no tensors by name, only first, second: say {path}#first$"):
        read_pth(path)
    assert read_pth(f"{path}#second")["w"].tolist() == [2] * 4


def written(tmp_path, content):
    path = tmp_path / "w.pth"
    path.write_bytes(as_zip(b"\x80\x02" + content + b".", FOUR))
    return path


def test_deeper_wrappers_and_prefixes_of_several_kinds(tmp_path):
    inner = entries(module=entries(**{"module._orig_mod.model.w": tensor()}))
    path = written(tmp_path, entries(ema=inner, optimizer=entries(state=entries(p=tensor()))))
    assert {name: array.tolist() for name, array in read_pth(path).items()} == {"w": [0, 1, 2, 3]}


class Unknown(collections.OrderedDict):
    """Of a package that nobody has; with items and attributes."""


def body(value, protocol=2):
    """A value's pickle, to be put into another."""
    return pickle.dumps(value, protocol)[2:-1]


def test_what_trainers_write_beside_the_weights_is_left_where_it_is(tmp_path):
    unknown = Unknown(lr=0.1)
    unknown.best = np.float64(71.5)
    beside = {
        "args": argparse.Namespace(lr=0.1, sizes=[1, 2]),
        "best_acc1": np.float64(71.5),
        "history": np.arange(3.0),
        "schedule": functools.partial(max, 1),
        "hyper_parameters": unknown,
        "callbacks": {
            Unknown: {"count": 1},
            ("epoch", 1): {1, 2},
            None: frozenset({3}),
            1.5: collections.Counter("ab"),
        },
        "when": datetime.datetime(2024, 1, 1),
        "out": Path("runs"),
        "ran": Runs(os.system, touch(tmp_path)),
    }
    others = {name: body(value) for name, value in beside.items()}
    path = written(tmp_path, entries(**others, state_dict=entries(**{"model.w": tensor()})))
    assert {name: array.tolist() for name, array in read_pth(path).items()} == {"w": [0, 1, 2, 3]}
    assert not (tmp_path / "ran").exists()


def test_a_state_dict_of_an_unknown_class_of_dict(tmp_path):
    made = b"cmy.package\nStateDict\n)R" + entries(w=tensor())[1:]
    assert read_pth(written(tmp_path, entries(model=made)))["w"].tolist() == [0, 1, 2, 3]


def test_a_network_that_was_pickled_whole_has_its_state_dict(tmp_path):
    def network(**attributes):
        return b"cmy.package\nNet\n)\x81" + entries(training=b"\x88", **attributes) + b"b"

    layer = network(_parameters=entries(weight=tensor(), bias=b"N"), _buffers=entries(mean=tensor(1, (2,), (2,))))
    whole = network(_parameters=b"}", _modules=entries(conv=layer))
    for content in (whole, entries(model=whole, epoch=number(3))):
        read = read_pth(written(tmp_path, content))
        assert {name: array.tolist() for name, array in read.items()} == {
            "conv.weight": [0, 1, 2, 3],
            "conv.mean": [1, 3],
        }


def test_a_network_within_itself_ends(tmp_path):
    inside = b"cmy.package\nNet\n)\x81q\x01" + entries(_modules=entries(a=b"h\x01", b=b"h\x01")) + b"b"
    assert "holds no tensors by name, only what 'my.package.Net'" in refused(
        tmp_path, as_zip(b"\x80\x02" + inside + b".")
    )


def test_tensors_with_attributes_and_names_of_python_2(tmp_path):
    made = tensor()[len(REBUILD) : -1]
    wrapped = WITH_ATTRIBUTES + b"(" + REBUILD + b"ctorch.nn\nParameter\n" + made + b"}tR"
    path = written(tmp_path, b"}(U\x01w" + wrapped + b"u")
    assert read_pth(path)["w"].tolist() == [0, 1, 2, 3]


def test_a_number_sign_may_be_part_of_a_file_s_name(tmp_path):
    path = checkpoint(tmp_path, state_dict=2).rename(tmp_path / "run#3.pth")
    assert read_pth(path)["w"].tolist() == [2] * 4
    safetensors.numpy.save_file({"a": np.ones(2)}, tmp_path / "w#1.safetensors")
    assert read_safetensors(tmp_path / "w#1.safetensors")["a"].tolist() == [1, 1]
    with pytest.raises(UserError, match="has no state dict 'x'; it has no parts"):
        read_safetensors(f"{tmp_path}/w#1.safetensors#x")
