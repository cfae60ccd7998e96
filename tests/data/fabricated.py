"""Official archives in small: what people download, with a few examples of our own in it."""

import gzip
import hashlib
import io
import json
import pathlib
import tarfile
import zipfile

import numpy as np
import scipy.io
from PIL import Image

RNG = np.random.default_rng


def packed(path: pathlib.Path, files: dict[str, bytes], mode: str = "w:gz") -> pathlib.Path:
    with tarfile.open(path, mode) as archive:
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return path


def photo(seed: int, size=(20, 16), form="JPEG", mode="RGB") -> bytes:
    pixels = RNG(seed).integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).convert(mode).save(written, form)
    return written.getvalue()


def cifar(folder: pathlib.Path, name: str) -> dict[str, list]:
    """By split, (image, labels) of each example."""
    hundred, rng, said = name == "cifar100", RNG(1), {}
    root = "cifar-100-binary" if hundred else "cifar-10-batches-bin"
    files: dict[str, bytes] = {}

    def batch(count):
        labels = rng.integers(0, (20, 100) if hundred else (10,), (count, 1 + hundred), dtype=np.uint8)
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        rows = np.concatenate([labels, images.transpose(0, 3, 1, 2).reshape(count, -1)], 1)
        return rows.tobytes(), list(zip(images, labels.tolist(), strict=True))

    if hundred:
        for split in ("train", "test"):
            files[f"{root}/{split}.bin"], said[split] = batch(7)
        for part, count in (("coarse", 20), ("fine", 100)):
            names = [f"{part} {number}" for number in range(count)]
            files[f"{root}/{part}_label_names.txt"] = ("\n".join(names) + "\n").encode()
    else:
        said["train"] = []
        for number in range(1, 6):
            files[f"{root}/data_batch_{number}.bin"], more = batch(3)
            said["train"] += more
        files[f"{root}/test_batch.bin"], said["test"] = batch(4)
        files[f"{root}/batches.meta.txt"] = "\n".join(f"kind {number}" for number in range(10)).encode() + b"\n\n"
    packed(folder / f"cifar-{100 if hundred else 10}-binary.tar.gz", files)
    return said


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.tobytes())


def mnist(folder: pathlib.Path, name: str) -> dict[str, list]:
    rng, said = RNG(2), {}
    for split, prefix, count in (("train", "train", 9), ("test", "t10k", 5)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
        said[split] = [(image[..., None], [label]) for image, label in zip(images, labels.tolist(), strict=True)]
    return said


def svhn(folder: pathlib.Path, name: str) -> dict[str, list]:
    rng, said = RNG(3), {}
    for split, count in (("train", 6), ("test", 5), ("extra", 4)):
        images = rng.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = rng.integers(1, 11, (count, 1), dtype=np.uint8)
        labels[0] = 10  # which is a 0
        scipy.io.savemat(folder / f"{split}_32x32.mat", {"X": images, "y": labels})
        said[split] = [(images[..., i], [int(labels[i, 0]) % 10]) for i in range(count)]
    return said


def eurosat(folder: pathlib.Path, name: str) -> dict[str, list]:
    said = []
    with zipfile.ZipFile(folder / "EuroSAT.zip", "w") as archive:
        archive.writestr("2750/", "")
        for number, kind in enumerate(("AnnualCrop", "River", "SeaLake", "River")):
            contents = photo(number, (64, 64))
            archive.writestr(f"2750/{kind}/{kind}_{number}.jpg", contents)
            said.append((contents, [kind]))
    return {"train": said}


def food101(folder: pathlib.Path, name: str) -> dict[str, list]:
    files, said, meta = {}, {"train": [], "validation": []}, {"train": {}, "test": {}}
    for number in range(7):
        kind, split = ("apple_pie", "waffles")[number % 2], ("train", "test")[number % 3 == 0]
        contents = photo(number)
        files[f"food-101/images/{kind}/{number}.jpg"] = contents
        meta[split].setdefault(kind, []).append(f"{kind}/{number}")
        said["train" if split == "train" else "validation"].append((contents, [kind]))
    files |= {f"food-101/meta/{split}.json": json.dumps(names).encode() for split, names in meta.items()}
    packed(folder / "food-101.tar.gz", files)
    return said


def pets(folder: pathlib.Path, name: str) -> dict[str, list]:
    photos, notes, said = {}, {}, {"train": [], "test": []}
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for number in range(6):
        file, split = f"pug_{number}", "test" if number % 3 == 2 else "trainval"
        form, mode = ("PNG", "RGBA") if number == 4 else ("JPEG", "RGB")  # some photos are not what their name says
        contents = photo(number, (40, 20), form, mode)
        photos[f"images/{file}.jpg"] = contents
        photos[f"images/._{file}.jpg"] = b"of another system"
        outline = io.BytesIO()
        Image.fromarray(np.full((20, 40), 1 + number % 3, np.uint8)).save(outline, "PNG")
        notes[f"annotations/trimaps/{file}.png"] = outline.getvalue()
        notes[f"annotations/trimaps/._{file}.png"] = b"of another system"
        lists[split].append(f"{file} {26 if number % 2 else 1} {2 if number % 2 else 1} 1")
        if split == "trainval":
            box = "<xmin>10</xmin><ymin>5</ymin><xmax>30</xmax><ymax>15</ymax>"
            size = "<size><width>40</width><height>20</height></size>"
            notes[f"annotations/xmls/{file}.xml"] = (
                f"<annotation>{size}<object><bndbox>{box}</bndbox></object></annotation>".encode()
            )
        said["test" if split == "test" else "train"].append((contents, [25 if number % 2 else 0]))
    notes |= {f"annotations/{split}.txt": "\n".join(lines).encode() + b"\n" for split, lines in lists.items()}
    packed(folder / "images.tar.gz", photos)
    packed(folder / "annotations.tar.gz", notes, "w")  # whatever its name says
    return said


def cars(folder: pathlib.Path, name: str) -> dict[str, list]:
    said = {}
    for split, count in (("train", 4), ("test", 3)):
        files, rows = {}, []
        said[split] = []
        for number in range(count):
            contents = photo(number, (40, 20))
            files[f"cars_{split}/{number + 1:05d}.jpg"] = contents
            rows.append((10, 5, 30, 15, 1 + number * 65, f"{number + 1:05d}.jpg"))
            said[split].append((contents, [number * 65]))
        packed(folder / f"cars_{split}.tgz", files)
        names = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
        fields = [(name, "O") for name in names]
        notes = io.BytesIO()
        scipy.io.savemat(notes, {"annotations": np.array(rows, fields).reshape(1, -1)})
        if split == "train":
            packed(folder / "car_devkit.tgz", {"devkit/cars_train_annos.mat": notes.getvalue()})
        else:
            (folder / "cars_test_annos_withlabels.mat").write_bytes(notes.getvalue())
    return said


def imagenet(folder: pathlib.Path, name: str) -> dict[str, list]:
    import tensorflow_datasets as tfds

    said, tars = {"train": [], "validation": []}, {}
    for kind in ("n01440764", "n02105855"):
        files = {}
        for number in range(3):
            form, mode = ("PNG", "RGB") if kind == "n02105855" and number == 1 else ("JPEG", "RGB")
            mode = "CMYK" if kind == "n01440764" and number == 2 else mode
            files[f"{kind}_{number}.JPEG"] = photo(number, (32, 24), form, mode)
            said["train"].append((files[f"{kind}_{number}.JPEG"], [kind]))
        inside = packed(folder / f"{kind}.tar", files, "w")
        tars[f"{kind}.tar"] = inside.read_bytes()
        inside.unlink()
    packed(folder / "ILSVRC2012_img_train.tar", tars, "w")
    labels = tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt").read_text().split()
    one = photo(0, (8, 8))
    names = [f"ILSVRC2012_val_{number + 1:08d}.JPEG" for number in range(len(labels))]
    packed(folder / "ILSVRC2012_img_val.tar", dict.fromkeys(reversed(names), one), "w")
    said["validation"] = [(one, [label]) for label in labels]
    return said


MAKERS = {
    "cifar10": cifar,
    "cifar100": cifar,
    "mnist": mnist,
    "fashion_mnist": mnist,
    "svhn_cropped": svhn,
    "eurosat": eurosat,
    "food101": food101,
    "oxford_iiit_pet": pets,
    "cars196": cars,
    "imagenet2012": imagenet,
}


def checked(archives, folder: pathlib.Path):
    """Archives with the sizes and checksums of what lies in a folder."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return [
        one._replace(size=len(found[one.name]), sha256=hashlib.sha256(found[one.name]).hexdigest()) for one in archives
    ]
