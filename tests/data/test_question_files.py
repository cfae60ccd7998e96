"""VQA-2 and GQA from files in their official form: twenty questions about four images, written here."""

import json

import jax
import numpy as np
import pytest
from PIL import Image
from processes import start

from configs.active import vqa2 as of_vqa2
from effjax.data import question_source
from effjax.data.answer_text import normalised, words_of
from effjax.data.sources import load, split_names
from effjax.errors import UserError
from effjax.pruning.paths import by_path
from effjax.recipes import schema
from effjax.recipes.active import experiment as active
from effjax.recipes.build.trained import TrainedRun
from effjax.recipes.train import experiment as training

QUESTIONS = ("How many dogs are there?", "Is it raining?", "What color is the man's hat?", "What's this?", "How many?")
ANSWERS = ("2", "no", "red", "skateboard", "2")
TYPES = ("number", "yes/no", "other", "other", "number")


def write_images(folder, names):
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        Image.new("RGB", (40, 30), (60 * number, 100, 50)).save(folder / name)


def write_vqa2(root):
    for split in ("train2014", "val2014"):
        write_images(root / split, [f"COCO_{split}_{image:012d}.jpg" for image in range(1, 5)])
        questions, annotations = [], []
        for number in range(20)[::-1]:  # the official files are in no order
            image, which = 1 + number // 5, number % 5
            ids = {"image_id": image, "question_id": image * 1000 + which}
            questions.append({**ids, "question": QUESTIONS[which]})
            said = [ANSWERS[which]] * (10 - which) + ["Two.", "the red"][: which and 2] * 4
            people = [{"answer": said[i], "answer_confidence": "yes", "answer_id": i + 1} for i in range(10)]
            annotations.append(
                {
                    **ids,
                    "question_type": "how many",
                    "multiple_choice_answer": "a bird" if (split, number) == ("val2014", 3) else ANSWERS[which],
                    "answers": people,
                    "answer_type": TYPES[which],
                }
            )
        head = {"info": {}, "license": {}, "data_subtype": split, "data_type": "mscoco"}
        asked = {**head, "task_type": "Open-Ended", "questions": questions}
        (root / f"v2_OpenEnded_mscoco_{split}_questions.json").write_text(json.dumps(asked))
        (root / f"v2_mscoco_{split}_annotations.json").write_text(json.dumps({**head, "annotations": annotations}))


def write_gqa(root):
    write_images(root / "images", [f"n{image}.jpg" for image in range(4)])
    for split in ("train_balanced", "val_balanced", "testdev_balanced"):
        found = {
            f"{number:08d}": {
                "semantic": [{"operation": "select", "dependencies": [], "argument": "hat (7)"}],
                "entailed": [],
                "equivalent": [f"{number:08d}"],
                "question": QUESTIONS[number % 5],
                "imageId": f"n{number // 5}",
                "isBalanced": True,
                "groups": {"global": None, "local": "1-hat"},
                "answer": ANSWERS[number % 5],
                "semanticStr": "",
                "annotations": {"answer": {}, "question": {}, "fullAnswer": {}},
                "types": {"detailed": "x", "semantic": "attr", "structural": ("query", "verify")[number % 5 == 1]},
                "fullAnswer": "There are two dogs.",
            }
            for number in range(20)
        }
        (root / f"{split}_questions.json").write_text(json.dumps(found))


def write_features(root, names):
    for number, name in enumerate(names):
        path = root / "features" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full((2, 3, 4), number, np.float16))


@pytest.fixture(scope="module")
def vqa2(tmp_path_factory):
    root = tmp_path_factory.mktemp("vqa2")
    write_vqa2(root)
    return root


@pytest.fixture(scope="module")
def gqa(tmp_path_factory):
    root = tmp_path_factory.mktemp("gqa")
    write_gqa(root)
    return root


def test_vqa_2_is_read_in_the_order_of_its_ids(vqa2):
    source = load(f"vqa2:{vqa2}", "train", image_size=16)
    assert len(source) == 20
    assert source.info.class_names == ("2", "no", "red", "skateboard", question_source.OTHER)
    assert source.info.image_shape == (16, 16, 3)
    words = source.info.names["question"]
    for example in source:
        number = int(example["id"])
        said = [words[token] for token in example["question"] if token]
        assert said == words_of(QUESTIONS[number % 5])
        assert source.info.class_names[example["label"]] == ANSWERS[number % 5]
        assert abs(int(example["image"][8, 8, 0]) - 60 * (number // 5)) < 4  # of a JPEG
        assert source.info.names["type"][example["type"]] == TYPES[number % 5]
    assert source[1]["answers"].tolist() == [1] * 9 + [0]  # nine said "no", one "Two."
    assert source.column("answers").shape == (20, 10)
    assert source.column("question").tolist() == [example["question"].tolist() for example in source]


def test_words_and_answers_are_those_of_training_alone(vqa2):
    train, validation = (load(f"vqa2:{vqa2}", split, image_size=16).info for split in ("train", "validation"))
    assert train.class_names == validation.class_names
    assert train.names == validation.names
    assert load(f"vqa2:{vqa2}", "validation", image_size=16).column("label")[3] == 4  # "bird" is none of them
    part = load(f"vqa2:{vqa2}", "validation[10:]", image_size=16)
    assert (len(part), part[0]["id"]) == (10, 10)
    assert split_names(f"vqa2:{vqa2}") == ["train", "validation"]


def test_only_the_most_frequent_answers_are_kept(vqa2, monkeypatch):
    monkeypatch.setattr(question_source, "MOST_ANSWERS", 2)
    question_source._known.cache_clear()
    source = load(f"vqa2:{vqa2}", "train", image_size=16)
    assert source.info.class_names == ("2", "no", question_source.OTHER)
    assert source.column("label")[:5].tolist() == [0, 1, 2, 2, 0]
    assert source.column("answers").min() == -1
    question_source._known.cache_clear()


def test_gqa_has_one_answer_and_three_splits(gqa):
    assert split_names(f"gqa:{gqa}") == ["train", "validation", "test"]
    source = load(f"gqa:{gqa}", "test", image_size=16)
    assert source.info.names["type"] == ("query", "verify", question_source.OTHER)
    assert "answers" not in source.info.features
    assert source.column("label")[:5].tolist() == [0, 1, 2, 3, 0]
    assert source[7]["image"].shape == (16, 16, 3)


@pytest.mark.parametrize("task", ["answering", "answering_stored"])
def test_a_network_learns_from_images_or_from_stored_features(task, vqa2, tmp_path):
    root = vqa2
    if task == "answering_stored":
        write_vqa2(root := tmp_path / "vqa2")
        names = [f"{s}/COCO_{s}_{image:012d}" for s in ("train2014", "val2014") for image in range(1, 5)]
        write_features(root, names)
    config = schema.experiment()
    config.task, config.data.name, config.data.image_size, config.eval_batch_size = task, f"vqa2:{root}", 28, 10
    config.data.validation, config.data.test = "validation[:10]", "validation[10:]"
    run = schema.run(batch_size=4, steps=2, evaluations=1)
    run.model = {"name": "vqa_attention", "backbone": "patches" if task == "answering" else "stored", "dim": 8}
    config.runs.student = run
    summary = training.main(config.to_dict(), tmp_path / "run")["student"]
    (found,) = summary["seeds"]
    params = TrainedRun.open(tmp_path / "run" / "student" / "seed_0").variables()["params"]
    assert summary["params"] == sum(leaf.size for leaf in jax.tree.leaves(params))
    # A product with each kernel, of one place or one word at the least; words are looked up.
    kernels = {path: leaf.size for path, leaf in by_path(params).items() if path.endswith("kernel")}
    least = sum(kernels.values())
    assert summary["mflops"] * 1e6 >= 2 * least
    if task == "answering_stored":  # of 2·3 places, and not of an image's
        grid = [size for path, size in kernels.items() if path.startswith("places/")]
        assert summary["mflops"] * 1e6 <= 2 * (6 * sum(grid) + 6 * (least - sum(grid)))
    assert 0 <= found["test/consensus_accuracy"] <= 1
    assert {"test/accuracy", "test/accuracy/type/number", "test/accuracy/type/other"} <= set(found)


@pytest.mark.parametrize("variant", ["", "stored"])
def test_the_config_of_vqa_2_asks_as_it_stands(variant, vqa2, tmp_path):
    root = vqa2
    if variant:
        write_vqa2(root := tmp_path / "vqa2")
        write_features(root, [f"{s}/COCO_{s}_{image:012d}" for s in ("train2014", "val2014") for image in range(1, 5)])
    config = of_vqa2.get_config(variant)
    config.data.update(name=f"vqa2:{root}", validation="validation[:10]", test="validation[10:]", num_workers=0)
    config.data.image_size, config.eval_batch_size = 28, 10
    config.active.update(initial=4, per_round=2, rounds=2)
    for run in config.runs.values():
        run.update(batch_size=4, steps=2, evaluations=1)
        run.model.update({"dim": 8, "hidden": 8, "words": 20} | ({} if variant else {"backbone": "patches"}))
    del config.runs["entropy"]
    config.table = ("random", "bald")
    summary = active.main(config.to_dict(), tmp_path / "loops")
    assert [one["labels"] for one in summary["bald"]["seeds"][0]["rounds"]] == [4, 6]


def test_stored_features_need_no_image(tmp_path):
    write_gqa(tmp_path)
    for image in (tmp_path / "images").iterdir():
        image.unlink()
    (tmp_path / "images").rmdir()
    with pytest.raises(UserError, match=r"neither images/n0.jpg nor the folder features/ is there"):
        load(f"gqa:{tmp_path}", "train")
    write_features(tmp_path, ["n0", "n1", "n2", "n3"])
    source = load(f"gqa:{tmp_path}", "train")
    assert source[12]["grid"].tolist() == np.full((2, 3, 4), 2.0).tolist()
    assert not source[12]["image"].any()
    assert source.info.features["grid"].shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "v2_mscoco_train2014_annotations.json").unlink(), "annotations.json is not there"),
        (lambda root: _change(root, lambda found: found["annotations"].pop()), "not of the same questions: 1 are in"),
        (lambda root: _change(root, lambda found: found.pop("annotations")), "not in the official form"),
        (lambda root: _change(root, lambda found: found["annotations"][0].pop("answers")), "question 4004 is not in"),
        (lambda root: (root / "train2014" / "COCO_train2014_000000000001.jpg").write_bytes(b""), "cannot be read"),
    ],
)
def test_damaged_files_are_said(spoil, message, tmp_path):
    write_vqa2(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        _ = load(f"vqa2:{tmp_path}", "train", image_size=16)[0]


def _change(root, change):
    file = root / "v2_mscoco_train2014_annotations.json"
    found = json.loads(file.read_text())
    change(found)
    file.write_text(json.dumps(found))


def test_an_unknown_split_is_refused(vqa2):
    with pytest.raises(UserError, match="no split 'test'"):
        load(f"vqa2:{vqa2}", "test")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("A dog", "dog"),
        ("the Two men.", "2 men"),
        ("None", "0"),
        ("ten", "10"),
        ("dont", "don't"),
        ("it's", "it's"),
        ("its", "its"),
        ("girl’s", "girl's"),
        ("2:50 pm", "2:50 pm"),
        ("100,978", "100978"),
        ("3.5", "3.5"),
        ("U.S.A.", "usa"),
        ("yes, sir", "yes sir"),
        ("black & white", "black white"),
        ("t-shirt/hat", "t shirt hat"),
        ("  an   apple ", "apple"),
        ("the", ""),
    ],
)
def test_answers_are_normalised_as_vqa_says(answer, expected):
    assert normalised(answer) == expected
    assert normalised(expected) == expected


def test_the_launcher_describes_them(vqa2, tmp_path):
    sheet = tmp_path / "sheet.png"
    process = start("launch.data", f"--dataset=vqa2:{vqa2}", "--image_size=16", f"--contact_sheet={sheet}")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "train: 20 examples, 16×16×3, " in out
    assert sheet.exists()
