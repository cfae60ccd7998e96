"""Datasets of others from their official archives: fabricated ones, read by us and by TFDS itself; and fetched."""

import http.server
import io
import re
import socket
import struct
import sys
import tarfile
import threading

import numpy as np
import pytest
from fabricated import MAKERS, checked, cifar, idx, mnist, packed
from PIL import Image

from effjax.data.archives import Archive, archives_in
from effjax.data.builders import official
from effjax.data.prepare import prepare
from effjax.data.sources import load
from effjax.errors import UserError

SLOW = ("imagenet2012",)  # whose 50,000 photos of validation are written one by one


@pytest.fixture(params=[name for name in MAKERS if name not in SLOW])
def dataset(request, tmp_path, monkeypatch):
    return fabricate(request.param, tmp_path, monkeypatch)


def fabricate(name, data_dir, monkeypatch):
    folder = data_dir / "downloads" / name
    folder.mkdir(parents=True)
    said = MAKERS[name](folder, name)
    archives = checked(official.archives_of(name), folder)
    monkeypatch.setattr(official, "archives_of", lambda name: archives)
    return name, data_dir, said


def pixels(image) -> np.ndarray:
    return image if isinstance(image, np.ndarray) else np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


def nearly(ours, theirs) -> bool:
    return (
        ours.shape == theirs.shape and np.abs(ours.astype(int) - theirs).mean() < 25
    )  # of noise that is written anew; other noise is 85


def check(name, data_dir, said):
    """What is read of each split is what was packed, whatever its order."""
    for split, examples in said.items():
        source = load(name, split, data_dir)
        assert len(source) == len(examples)
        names = source.info.class_names
        left = [(pixels(image), labels[-1]) for image, labels in examples]
        for row in range(len(source)):
            one = source[row]
            same = [
                i
                for i, (image, label) in enumerate(left)
                if label in (one["label"], names[one["label"]]) and nearly(one["image"], image)
            ]
            assert same, (split, row)
            left.pop(same[0])


def test_what_is_packed_is_what_is_read(dataset):
    assert "tensorflow" not in sys.modules
    prepare(dataset[0], dataset[1])
    check(*dataset)


def test_imagenet_is_read_from_its_archives(tmp_path, monkeypatch):
    name, data_dir, said = fabricate("imagenet2012", tmp_path, monkeypatch)
    prepare(name, data_dir)
    check(name, data_dir, {"train": said["train"]})
    source = load(name, "validation", data_dir)
    assert len(source) == 50_000
    counts = np.bincount(source.column("label"), minlength=1000)
    assert (counts == 50).all()


def test_tfds_reads_what_was_prepared_as_its_own(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    name, data_dir, said = fabricate("cifar100", tmp_path, monkeypatch)
    prepare(name, data_dir)
    builder = tfds.builder(name, data_dir=data_dir)
    assert str(builder.version) == "3.0.2"
    read = list(builder.as_data_source("train"))
    by_id = {one["id"].decode() if isinstance(one["id"], bytes) else one["id"]: one for one in read}
    for index, (image, (coarse, fine)) in enumerate(said["train"]):
        one = by_id[f"train_{index:05d}"]
        np.testing.assert_array_equal(one["image"], image)
        assert (one["coarse_label"], one["label"]) == (coarse, fine)
    assert builder.info.features["label"].names[3] == "fine 3"
    assert load(name, "train", data_dir).info.class_names[3] == "fine 3"
    # A second command finds it, archives or not.
    for path in (data_dir / "downloads" / name).iterdir():
        path.unlink()
    assert prepare(name, data_dir) == builder.data_path


def test_boxes_and_outlines_come_along(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    name, data_dir, _ = fabricate("oxford_iiit_pet", tmp_path, monkeypatch)
    prepare(name, data_dir)
    train, test = (list(tfds.builder(name, data_dir=data_dir).as_data_source(split)) for split in ("train", "test"))
    for one in train:
        np.testing.assert_allclose(one["head_bbox"], [0.25, 0.25, 0.75, 0.75])
        assert one["segmentation_mask"].shape == (20, 40, 1)
    for one in (*train, *test):
        number = int(one["file_name"].decode().removeprefix("pug_").removesuffix(".jpg"))
        assert (one["species"], one["label"]) == (number % 2, 25 * (number % 2))  # the dogs are odd
        assert (one["segmentation_mask"] == 1 + number % 3).all()
    assert all((one["head_bbox"] == 0).all() for one in test)


def test_without_its_archives_a_dataset_says_where_they_belong(tmp_path):
    with pytest.raises(UserError) as error:
        prepare("cifar100", tmp_path)
    said = str(error.value)
    assert "must be downloaded: if you may, run: " in said
    assert f"--dataset=cifar100 --data_dir={tmp_path} --download; or get cifar-100-binary.tar.gz (https://" in said
    assert said.endswith(f"and put it into {tmp_path}/downloads/cifar100")
    with pytest.raises(UserError, match=r"imagenet2012' must be downloaded: get ILSVRC2012_img_train.tar \(.*val.tar"):
        prepare("imagenet2012", tmp_path, download=True)  # for which one has to register


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda contents: contents[:-9], r"it has [\d,]+ bytes, not [\d,]+\): remove it, or get it anew"),
        (lambda contents: b"x" + contents[1:], r"its SHA-256 is [0-9a-f]{64}, not [0-9a-f]{64}\)"),
    ],
)
def test_a_damaged_archive_is_named_and_nothing_is_prepared(spoilt, message, tmp_path, monkeypatch):
    name, data_dir, _ = fabricate("mnist", tmp_path, monkeypatch)
    path = data_dir / "downloads" / name / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(spoilt(path.read_bytes()))
    with pytest.raises(UserError, match=f"{re.escape(str(path))} is not what was published .{message}"):
        prepare(name, data_dir)
    assert not (data_dir / name).exists()


def test_what_is_laid_out_otherwise_is_named(tmp_path, monkeypatch):
    cases = (("cifar10", cifar, "cifar-10-binary.tar.gz"), ("mnist", mnist, "train-images-idx3-ubyte.gz"))
    for name, maker, file in cases:
        folder = tmp_path / "downloads" / name
        folder.mkdir(parents=True)
        maker(folder, name)
        (folder / file).write_bytes(b"no archive at all")
        archives = checked(official.archives_of(name), folder)
        with monkeypatch.context() as patch:
            patch.setattr(official, "archives_of", lambda name, archives=archives: archives)
            with pytest.raises(UserError, match=re.escape(f"{folder / file} cannot be read (")):
                prepare(name, tmp_path)


def repacked(path, changes):
    """A tar archive whose files are others; None takes one away."""
    with tarfile.open(path) as archive:
        files = {one.name: archive.extractfile(one).read() for one in archive}
    files |= changes
    packed(path, {name: contents for name, contents in files.items() if contents is not None})


def fewer_labels(path, changes):
    path.write_bytes(idx(np.zeros(8, np.uint8)))


FOOD, TEN, HUNDRED = "food-101.tar.gz", "cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz"
NAMES = "cifar-100-binary/fine_label_names.txt"
LACKING = {
    "food": ("food101", FOOD, {f"food-101/images/waffles/{i}.jpg": None for i in (1, 5)}, "2 images are missing, the"),
    "pets": ("oxford_iiit_pet", "images.tar.gz", {"images/pug_3.jpg": None}, "1 photos are missing, the first images/"),
    "cars": ("cars196", "cars_train.tgz", {"cars_train/00002.jpg": None}, "1 photos are missing, the first "),
    "names": ("cifar100", HUNDRED, {NAMES: None}, f"has no {NAMES}: get it anew"),
    "some names": ("cifar100", HUNDRED, {NAMES: b"fish\n" * 9}, "fine_label_names.txt has 9 names of 100 classes"),
    "bytes": (
        "cifar10",
        TEN,
        {"cifar-10-batches-bin/test_batch.bin": b"x" * 9},
        "a file of test has 9 bytes, which are",
    ),
    "labels": ("mnist", "train-labels-idx1-ubyte.gz", None, "train-images-idx3-ubyte.gz: 9 images, 8 labels"),
}


@pytest.mark.parametrize(("name", "archive", "changes", "said"), LACKING.values(), ids=LACKING)
def test_an_archive_that_lacks_something_is_named(name, archive, changes, said, tmp_path, monkeypatch):
    folder = tmp_path / "downloads" / name
    folder.mkdir(parents=True)
    MAKERS[name](folder, name)
    (repacked if changes else fewer_labels)(folder / archive, changes)
    archives = checked(official.archives_of(name), folder)
    monkeypatch.setattr(official, "archives_of", lambda name: archives)
    with pytest.raises(UserError, match=f"{re.escape(str(folder))}/.*{re.escape(said)}"):
        prepare(name, tmp_path)


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file, with ranges or without; the first answers end early."""

    contents, asked, cut, ranges, breaks = b"", [], 0, True, False

    def do_GET(self):
        start = int(re.findall(r"\d+", self.headers.get("Range", "bytes=0-"))[0]) if self.ranges else 0
        type(self).asked.append(self.headers.get("Range"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.contents) - start))
        self.end_headers()
        end = len(self.contents) if not type(self).cut else start + type(self).cut
        type(self).cut = 0
        self.wfile.write(self.contents[start:end])
        if type(self).breaks:  # without a word, as a router that forgets a connection
            type(self).breaks = False
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *args):
        pass


@pytest.fixture
def published():
    Server.contents = np.random.default_rng(0).bytes(3_000_000)
    Server.asked, Server.cut, Server.ranges, Server.breaks = [], 0, True, False
    server = http.server.HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    import hashlib

    digest = hashlib.sha256(Server.contents).hexdigest()
    yield Archive("data.bin", f"http://127.0.0.1:{server.server_port}/data.bin", len(Server.contents), digest)
    server.shutdown()
    server.server_close()


def fetched(folder, archive):
    return archives_in(folder, [archive], "mine", download=True, command="…")["data.bin"].read_bytes()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_ended(ranges, published, tmp_path):
    Server.cut, Server.ranges = 1_200_000, ranges
    with pytest.raises(UserError, match="goes on from there"):
        fetched(tmp_path, published)
    assert not (tmp_path / "data.bin").exists()
    kept = (tmp_path / "data.bin.part").stat().st_size
    assert 0 < kept <= 1_200_000
    assert fetched(tmp_path, published) == Server.contents
    assert Server.asked == [None, f"bytes={kept}-"]
    assert [path.name for path in tmp_path.iterdir()] == ["data.bin"]
    assert fetched(tmp_path, published) == Server.contents
    assert len(Server.asked) == 2  # it is there


def test_a_connection_that_breaks_is_not_the_disks_fault(published, tmp_path):
    Server.cut, Server.breaks = 1_200_000, True
    with pytest.raises(UserError, match=r"cannot be fetched \(.*reset.*\), .*data.bin.part is kept: the same command"):
        fetched(tmp_path, published)
    assert fetched(tmp_path, published) == Server.contents


def test_a_part_of_an_official_dataset_that_is_not_prepared_here_is_not_downloaded_unasked(tmp_path):
    with pytest.raises(UserError, match=r"'eurosat/all' must be downloaded; if you may, run: .*--download$"):
        prepare("eurosat/all", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_was_fetched_and_is_something_else_does_not_stay(published, tmp_path):
    with pytest.raises(UserError, match=r"is not what was published \(its SHA-256 is .*\): it was removed; try again"):
        fetched(tmp_path, published._replace(sha256="0" * 64))
    assert list(tmp_path.iterdir()) == []
    assert fetched(tmp_path, published) == Server.contents


def test_where_nobody_answers_one_line_says_so(tmp_path):
    nobody = Archive("data.bin", "http://127.0.0.1:9/data.bin", 10, "0" * 64)
    with pytest.raises(UserError, match=r"http://127.0.0.1:9/data.bin cannot be fetched \(.*refused"):
        fetched(tmp_path, nobody)
