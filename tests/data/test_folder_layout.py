"""Folders as people have them: without splits, with images of any kind, with what systems leave behind."""

import itertools
import logging

import numpy as np
import pytest
from PIL import Image, features

from effjax.data import folder_source
from effjax.data.image_files import find_images
from effjax.data.sources import load, split_names
from effjax.data.stratified import bounds, drawing_order
from effjax.errors import UserError

PARTS = ("train", "validation", "test")


def paint(path, number: int, *, kind=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 10, 3), np.uint8)
    Image.fromarray(pixels).save(path, kind, **options)
    return path


def classes_folder(root, counts=(("cat", 30), ("dog", 50))):
    numbers = itertools.count()
    for name, count in counts:
        for i in range(count):
            paint(root / name / f"{i:03}.png", next(numbers))
    return root


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """``root/class/*.png``, 30 cats and 50 dogs, all different."""
    return classes_folder(tmp_path_factory.mktemp("photos"))


def counts(source) -> list[int]:
    return np.bincount(source.column("label"), minlength=source.info.num_classes).tolist()


def test_a_folder_without_splits_is_divided(classes):
    name = f"folder:{classes}"
    assert split_names(name) == list(PARTS)
    parts = {split: load(name, split) for split in PARTS}
    assert {split: counts(part) for split, part in parts.items()} == {
        "train": [24, 40], "validation": [3, 5], "test": [3, 5],
    }  # fmt: skip
    assert parts["train"].info.class_names == ("cat", "dog")
    paths = [path for part in parts.values() for path in part.paths]
    assert sorted(paths) == sorted(load(name, "all").paths)
    assert len(paths) == len(set(paths)) == 80
    for part in parts.values():
        assert part.paths == sorted(part.paths)  # ids number them in this order
        for i in (0, len(part) - 1):
            example = part[i]
            assert int(example["id"]) == i
            np.testing.assert_array_equal(example["image"], np.asarray(Image.open(classes / part.paths[i])))
            assert part.info.class_names[int(example["label"])] == part.paths[i].split("/")[0]


def test_the_division_is_drawn_not_cut_and_the_same_every_time(classes):
    first, again = (load(f"folder:{classes}", "validation").paths for _ in range(2))
    assert first == again
    assert first != load(f"folder:{classes}", "all").paths[27:30] + load(f"folder:{classes}", "all").paths[75:]


def test_shares_are_what_is_asked_for(classes):
    name = f"folder:{classes}"
    halves = {split: counts(load(name, split, shares=(50, 0, 50))) for split in ("train", "test")}
    assert halves == {"train": [15, 25], "test": [15, 25]}
    assert split_names(name, shares=(1, 0, 1)) == ["train", "test"]
    with pytest.raises(UserError, match=r"config\.data\.split=\(50, 0, 50\) gives validation none"):
        load(name, "validation", shares=(50, 0, 50))
    with pytest.raises(UserError, match=r"no split 'tset'.*divided by config.data.split.*did you mean 'test'"):
        load(name, "tset")


def test_a_photo_that_is_added_or_renamed_moves_few_others(tmp_path):
    root = classes_folder(tmp_path)
    before = {path: split for split in PARTS for path in load(f"folder:{root}", split).paths}
    paint(root / "cat" / "new.png", 1000)
    (root / "dog" / "007.png").rename(root / "dog" / "another.png")
    after = {path: split for split in PARTS for path in load(f"folder:{root}", split).paths}
    moved = [path for path in before if path in after and after[path] != before[path]]
    assert len(moved) <= 6
    assert len(after) == 81


def test_what_is_there_twice_comes_into_one_part(tmp_path):
    root = tmp_path
    for name, start in (("cat", 0), ("dog", 100)):
        for i in range(20):
            for copy in "ab":
                paint(root / name / f"{copy}{i}.png", start + i)
    parts = [load(f"folder:{root}", split) for split in PARTS]
    assert sum(map(len, parts)) == 80
    for one, other in itertools.combinations(parts, 2):
        assert not set(one.digests) & set(other.digests)


@pytest.mark.parametrize(
    "cut", [("[:80%]", "[80%:]"), ("[:7]", "[7:]"), ("[:-9]", "[-9:]"), ("[:10%]", "[10%:11%]", "[11%:]")]
)
def test_parts_of_a_folder_s_split_are_samples_of_every_class(tmp_path, cut):
    root = classes_folder(tmp_path / "train", (("a", 10), ("b", 30), ("c", 60))).parent
    parts = [load(f"folder:{root}", f"train{part}") for part in cut]
    ids = np.concatenate([part.ids() for part in parts])
    assert sorted(ids.tolist()) == list(range(100))
    whole = load(f"folder:{root}", "train")
    for part in parts:
        assert part.ids().tolist() == sorted(part.ids())
        expected = np.array([10, 30, 60]) * len(part) / 100
        assert (np.abs(counts(part) - expected) <= 1).all()
        np.testing.assert_array_equal(part.column("label"), whole.column("label")[part.ids()])
        assert [int(example["id"]) for example in part] == part.ids().tolist()


def test_parts_of_other_datasets_are_stretches(data_dir):
    assert load("digits", "train[10:14]", data_dir).ids().tolist() == [10, 11, 12, 13]


def test_any_stretch_of_the_order_has_every_class_s_share():
    labels = np.repeat(np.arange(4), (1, 7, 40, 152))
    order = drawing_order(labels, [f"{i}.jpg" for i in range(200)])
    assert sorted(order.tolist()) == list(range(200))
    for start, end in bounds((1, 2, 3, 4), 200):
        share = np.bincount(labels[order[start:end]], minlength=4) - np.array([1, 7, 40, 152]) * (end - start) / 200
        assert (np.abs(share) <= 1).all()
    others = drawing_order(labels, [f"other{i}.jpg" for i in range(200)])
    assert (order != others).any()
    assert bounds((80, 10, 10), 9) == [(0, 7), (7, 8), (8, 9)]


def test_other_names_of_splits_are_known(tmp_path):
    for split in ("Training", "val", "fold1"):
        classes_folder(tmp_path / split, (("a", 1), ("b", 1)))
    name = f"folder:{tmp_path}"
    assert load(name, "train").paths[0] == "Training/a/000.png"
    assert load(name, "validation[:1]").info.split == "validation[:1]"
    assert len(load(name, "fold1")) == 2
    with pytest.raises(UserError, match=r"no split 'test'; allowed: .*e\.g\. Training\[:80%\] to train"):
        load(name, "test")


def test_images_lie_at_any_depth(tmp_path):
    paint(tmp_path / "train" / "cat" / "day1" / "left" / "1.jpg", 0)
    paint(tmp_path / "train" / "cat" / "0.jpg", 1)
    paint(tmp_path / "train" / "dog" / "day1" / "1.jpg", 2)
    (tmp_path / "train" / "dog" / "day1" / "again").symlink_to(tmp_path / "train" / "dog")
    source = load(f"folder:{tmp_path}", "train")
    assert source.paths == ["train/cat/0.jpg", "train/cat/day1/left/1.jpg", "train/dog/day1/1.jpg"]
    assert source.column("label").tolist() == [0, 0, 1]


def test_classes_whose_images_all_lie_deeper_are_classes(tmp_path):
    for name, day in (("cat", "monday"), ("dog", "tuesday")):
        for i in range(10):
            paint(tmp_path / name / day / f"{i}.png", i + 100 * (name == "dog"))
    assert counts(load(f"folder:{tmp_path}", "train")) == [8, 8]


def test_a_folder_above_the_right_one_is_said(tmp_path):
    classes_folder(tmp_path / "photos", (("a", 1), ("b", 1)))
    with pytest.raises(UserError, match=rf"no split 'train'; allowed: photos; .* say folder:{tmp_path}/photos$"):
        load(f"folder:{tmp_path}", "train")


def test_what_systems_leave_behind_is_no_class_and_no_image(tmp_path):
    root = classes_folder(tmp_path, (("cat", 10), ("dog", 10)))
    paint(root / "__MACOSX" / "cat" / "._000.png", 0, kind="PNG")
    paint(root / ".thumbnails" / "x.png", 0)
    paint(root / "@eaDir" / "x.png", 0)
    paint(root / "cat" / "__MACOSX" / "x.png", 0)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._001.png"):
        (root / "cat" / name).write_bytes(b"junk")
    source = load(f"folder:{root}", "all")
    assert source.info.class_names == ("cat", "dog")
    assert len(source) == 20


def test_every_other_file_is_named_and_files_without_an_extension_are_looked_into(tmp_path, caplog):
    folder_source._say_once.cache_clear()
    root = classes_folder(tmp_path, (("cat", 1), ("dog", 1)))
    paint(root / "cat" / "IMG_0001", 3, kind="JPEG")
    for extension in ("jfif", "jpe"):
        paint(root / "cat" / f"x.{extension}", 3, kind="JPEG")
    (root / "cat" / "README").write_text("no image")
    (root / "cat" / "film.mp4").write_bytes(b"no image")
    paint(root / "stray.png", 4)
    with caplog.at_level(logging.WARNING):
        source = load(f"folder:{root}", "all")
        load(f"folder:{root}", "all")
    assert source.paths == ["cat/000.png", "cat/IMG_0001", "cat/x.jfif", "cat/x.jpe", "dog/000.png"]
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"folder {root}: no images of a class, passed over: stray.png, cat/README, cat/film.mp4"]
    assert find_images(root / "cat").others == ["README", "film.mp4"]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read(tmp_path):
    root = classes_folder(tmp_path, (("cat", 1), ("dog", 1)))
    paint(root / "cat" / "x.avif", 3)
    assert load(f"folder:{root}", "all").paths[1] == "cat/x.avif"


def test_heic_says_what_to_do(tmp_path):
    root = classes_folder(tmp_path, (("cat", 1), ("dog", 1)))
    (root / "cat" / "x.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(
        UserError, match=r"1 images cannot be read.*x\.HEIC \(HEIC is not read here: convert it to JPEG"
    ):
        load(f"folder:{root}", "all")


def test_16_bit_images_of_a_folder_are_grey(tmp_path):
    for name in ("a", "b"):
        for i in range(2):
            path = tmp_path / name / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.full((4, 6), 257 * (100 + i), np.uint16)).save(path)
    source = load(f"folder:{tmp_path}", "all")
    assert source.info.image_shape == (4, 6, 1)
    assert [int(example["image"].max()) for example in source] == [100, 101, 100, 101]


def test_turned_photos_have_the_size_that_people_see(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        paint(tmp_path / name / "0.jpg", 0, exif=exif)
    source = load(f"folder:{tmp_path}", "all")
    assert source.info.image_shape == source[0]["image"].shape == (10, 8, 3)


@pytest.mark.parametrize("name", [b"caf\xe9", b"c\x1b[31mat", b"do\ng"])
def test_names_of_classes_that_nothing_can_show_are_refused(tmp_path, name):
    root = classes_folder(tmp_path, ((name.decode(errors="surrogateescape"), 2), ("dog", 2)))
    with pytest.raises(UserError, match=r"the class .* is no text .*rename its folder") as error:
        load(f"folder:{root}", "all")
    assert str(error.value).isprintable()


def test_links_to_nothing_and_to_themselves_are_named(tmp_path, caplog):
    root = classes_folder(tmp_path, (("cat", 2), ("dog", 2)))
    (root / "cat" / "loop").symlink_to("loop")
    (root / "cat" / "gone.png").symlink_to("nowhere.png")
    (root / "loop").symlink_to("loop")
    assert len(load(f"folder:{root}", "all")) == 4
    assert "passed over: loop, cat/gone.png, cat/loop" in caplog.text


def test_a_class_written_in_two_ways_is_refused(tmp_path):
    composed, apart = "caf\u00e9", "cafe\u0301"
    root = classes_folder(tmp_path / "whole", ((composed, 2), (apart, 2)))
    with pytest.raises(UserError, match=r"two folders are called café, with accents as one letter and as two"):
        load(f"folder:{root}", "all")
    for split, name in (("train", composed), ("validation", apart)):
        classes_folder(tmp_path / "splits" / split, ((name, 2), ("dog", 2)))
    with pytest.raises(UserError, match=r"splits 'train' and 'validation' write the accents of .* in different ways"):
        load(f"folder:{tmp_path / 'splits'}", "train")


def test_what_lies_beside_the_splits_is_named(tmp_path, caplog):
    folder_source._say_once.cache_clear()
    for split in ("train", "validation"):
        classes_folder(tmp_path / split, (("cat", 1), ("dog", 1)))
    classes_folder(tmp_path, (("cow", 1),))
    paint(tmp_path / "stray.png", 3)
    (tmp_path / "README.txt").write_text("about it")
    (tmp_path / "notes").mkdir()
    assert len(load(f"folder:{tmp_path}", "train")) == 2
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"folder {tmp_path}: beside its splits, passed over: cow, stray.png"]


def test_nobody_s_home_is_no_folder():
    with pytest.raises(UserError, match=r"folder .*~nobody_of_this_name/photos holds no images"):
        load("folder:~nobody_of_this_name/photos", "train")
