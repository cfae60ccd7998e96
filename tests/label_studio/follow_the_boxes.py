"""docs/label_your_own_boxes.md against a real Label Studio: rectangles, what a network proposes, three rounds."""

import json
import pathlib
import re
import tempfile

import follow_the_guide
from follow_the_guide import ENVIRONMENT, installed, ledger, said
from processes import REPOSITORY
from small_boxes import CLASSES, draw_photo, make_photos
from studio import Studio, chosen, storage_of

GUIDE = (REPOSITORY / "docs" / "label_your_own_boxes.md").read_text()
SHORTER = {
    "initial=20, per_round=20, rounds=10": "initial=10, per_round=2, rounds=3",
    "batch_size=16, steps=400": "batch_size=4, steps=300",
    "learning_rate=4e-3": "learning_rate=8e-3",
    "image_size=128": "image_size=16",
    '"strides": (4, 8), "channels": 64': '"strides": (4,), "channels": 8, "convs": 1',
    'oracle="folder"': 'oracle="label_studio"',
}
WIDTH, HEIGHT = 48, 32  # of the photos


def make_home(home: pathlib.Path) -> None:
    make_photos(home, 14)
    config = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0]
    for long, short in SHORTER.items():
        assert long in config, long
        config = config.replace(long, short)
    (home / "my_boxes.py").write_text(config)
    (home / ENVIRONMENT).symlink_to(REPOSITORY / ENVIRONMENT)


def run_effjax(home: pathlib.Path, code: int) -> str:
    return follow_the_guide.run_effjax(home, code, GUIDE)


def true_boxes(task: dict) -> list[tuple[list[int], str]]:
    """What a photo shows: its path is shown above it."""
    seed = int(pathlib.Path(task["data"]["path"]).stem)
    return [(box, CLASSES[kind]) for box, kind in draw_photo(seed)[1]]


def drawn(task: dict, **more) -> list[dict]:
    """As the editor's window submits it."""
    return [
        {
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": 11 * WIDTH,
            "original_height": 11 * HEIGHT,
            "image_rotation": 0,
            "value": {
                "x": 100 * x / WIDTH,
                "y": 100 * y / HEIGHT,
                "width": 100 * width / WIDTH,
                "height": 100 * height / HEIGHT,
                "rotation": 0,
                "rectanglelabels": [name],
                **more,
            },
        }
        for (x, y, width, height), name in true_boxes(task)
    ]


def follow(home: pathlib.Path) -> None:
    commands = installed()
    make_home(home)
    last = run_effjax(home, 75)
    tasks_file, config_file = (
        pathlib.Path(path) for path in re.findall(r"(/\S+/(?:tasks\.json|label_config\.xml))", last)
    )
    queries = home / storage_of(follow_the_guide.GUIDE)
    with Studio(commands, home, home / "studio") as studio:
        ann = studio.owner()
        project = ann.create_project(config_file.read_text())
        ann.add_storage(project, str(queries))
        ann.import_file(project, tasks_file)
        tasks = sorted(ann.tasks(project).values(), key=lambda task: -len(true_boxes(task)))
        assert len(tasks) == 10
        assert [ann.status(task["data"]["image"]) for task in tasks] == [200] * 10
        assert not any(ann.predictions(task) for task in tasks)  # nobody has looked yet
        export = queries / "round_00" / "annotations.json"
        turned = ann.submit(tasks[0], drawn(tasks[0], rotation=20.0), 30.0)
        export.write_bytes(ann.export(project, "JSON"))
        last = run_effjax(home, 1)
        assert "region 1: its rotation is 20°: draw it upright" in last, last
        said(f"a rotated box is refused: {last}")
        ann.change_to(turned, drawn(tasks[0]))
        *some, unknowable, skipped = tasks[1:]
        given = {task["data"]["effjax_id"]: ann.submit(task, drawn(task), 7.5) for task in some}
        ann.submit(unknowable, [chosen("word", "unlabelable")], 3.0)
        ann.submit(skipped, None)
        export.write_bytes(ann.export(project, "JSON"))
        last = run_effjax(home, 75)
        assert "round_01/tasks.json" in last, last
        answers = {entry["id"]: entry for entry in ledger(home) if entry["event"] != "asked"}
        events = [answers[task["data"]["effjax_id"]]["event"] for task in tasks]
        assert events == [*["labelled"] * 8, "unlabelable", "skipped"]
        empty = [entry for entry in answers.values() if entry.get("answer") == []]
        assert all(entry["cost"] == entry["seconds"] == 7.5 for entry in empty)
        said("rectangles, none at all, a word, a skip and what it took are in the ledger; round 2 is asked for")

        folder = queries / "round_01"
        proposed = json.loads((folder / "tasks.json").read_text())
        assert any(task["predictions"][0]["result"] for task in proposed)
        ann.import_file(project, folder / "tasks.json")
        new = [task for task in ann.tasks(project).values() if task["data"]["effjax_round"] == 1]
        accepted = []
        for task in new:
            (prediction,) = ann.predictions(task)
            assert prediction["model_version"] == "mine, round 0"
            ann.submit(task, prediction["result"], 4.0)  # as proposed
            accepted.append((task["data"]["effjax_id"], len(prediction["result"])))
        assert sum(count for _, count in accepted)
        corrected, annotation = next((id_, one) for id_, one in given.items() if answers[id_]["answer"])
        ann.change_to(annotation, [])
        (folder / "annotations.json").write_bytes(ann.export(project, "JSON"))
        run_effjax(home, 75)
        answers = {entry["id"]: entry for entry in ledger(home) if entry["event"] == "labelled"}
        assert [(id_, len(answers[id_]["answer"])) for id_, _ in accepted] == accepted
        (correction,) = [entry for entry in ledger(home) if entry["event"] == "corrected"]
        assert (correction["id"], correction["answer"]) == (corrected, [])
        said(f"what the network proposes comes along as predictions; accepted, they are answers: {accepted}")

        folder = queries / "round_02"
        ann.import_file(project, folder / "tasks.json")
        last_tasks = [task for task in ann.tasks(project).values() if task["data"]["effjax_round"] == 2]
        for task in last_tasks:
            ann.submit(task, drawn(task), 5.0)
        for kind, name in (("JSON_MIN", "short.json"), ("CSV", "annotations.csv")):
            (folder / name).write_bytes(ann.export(project, kind))
        text = (folder / "annotations.csv").read_bytes()
        (folder / "annotations.csv").unlink()
        (folder / "short.json").rename(folder / "annotations.json")
        run_effjax(home, 0)
        found = {entry["id"]: entry for entry in ledger(home) if entry["event"] == "labelled"}
        for task in last_tasks:
            boxes = [
                {"box": [y / HEIGHT, x / WIDTH, (y + h) / HEIGHT, (x + w) / WIDTH], "class": name}
                for (x, y, w, h), name in true_boxes(task)
            ]
            answer = found[task["data"]["effjax_id"]]["answer"]
            assert [one["class"] for one in answer] == [one["class"] for one in boxes]
            differences = [
                abs(a - b) for one, other in zip(answer, boxes, strict=True)
                for a, b in zip(one["box"], other["box"], strict=True)
            ]  # fmt: skip
            assert max(differences, default=0) < 1e-5
        before = ledger(home)
        (folder / "annotations.json").unlink()
        (folder / "annotations.csv").write_bytes(text)
        run_effjax(home, 0)
        assert ledger(home) == before  # CSV says the same
        said("exported as JSON-MIN and as CSV: the same boxes")


if __name__ == "__main__":
    print("docs/label_your_own_boxes.md with Label Studio:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        follow(pathlib.Path(folder).resolve())
    print("as it is written.", flush=True)
