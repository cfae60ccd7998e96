"""docs/label_your_own.md word for word against a real Label Studio: four rounds in one project, two annotators."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from processes import CACHE, REPOSITORY
from small_pools import CLASSES, paint
from studio import Studio, storage_of

GUIDE = (REPOSITORY / "docs" / "label_your_own.md").read_text()
ENVIRONMENT = ".venv-label-studio"
SHORTER = {
    "initial=20, per_round=20, rounds=10": "initial=6, per_round=3, rounds=4",
    "batch_size=16, steps=300": "batch_size=4, steps=2",
    "members=3": "members=2",
    "image_size=64": "image_size=32",
    'oracle="folder"': 'oracle="label_studio"',
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def make_home(home: pathlib.Path) -> None:
    for name in CLASSES:
        for i in range(12):
            paint(home / "pool" / f"day {i % 3}" / f"{name}_{i}.jpg", i, (900, 700))
        for split in ("validation", "test"):
            for i in range(4):
                paint(home / "photos" / split / name / f"{name}_{i}.jpg", 1000 + i, (90, 70))
    config = blocks("python")[0]
    for long, short in SHORTER.items():
        assert long in config, long
        config = config.replace(long, short)
    (home / "my_labelling.py").write_text(config)
    (home / ENVIRONMENT).symlink_to(REPOSITORY / ENVIRONMENT)


def run_effjax(home: pathlib.Path, code: int, guide: str = GUIDE) -> str:
    """Runs a guide's command; returns the last line that it says."""
    (command,) = re.findall(r"```bash\n(.*?)```", guide, re.DOTALL)
    words = [sys.executable if word == "python" else word for word in command.split()]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*words, f"--compilation_cache={CACHE}"], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def class_of(task: dict) -> str:
    """What a photo shows: its path is shown above it."""
    return next(name for name in CLASSES if name in task["data"]["path"])


def ledger(home: pathlib.Path) -> list[dict]:
    text = (home / "runs" / "mine" / "mine" / "seed_0" / "ledger.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()][1:]


def said(text: str) -> None:
    print(f"  {text}", flush=True)


def installed() -> str:
    """Installs Label Studio as the guide says, where it is not there; the commands that start it."""
    install, first, rest = blocks("sh")[0].partition("export LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED")
    if not (REPOSITORY / ENVIRONMENT / "bin" / "label-studio").exists():
        subprocess.run(["bash", "-ec", install], cwd=REPOSITORY, check=True)
    return first + rest


def follow(home: pathlib.Path) -> None:
    commands = installed()
    make_home(home)
    last = run_effjax(home, 75)
    tasks_file, config_file = (
        pathlib.Path(path) for path in re.findall(r"(/\S+/(?:tasks\.json|label_config\.xml))", last)
    )
    queries = home / storage_of(GUIDE)
    assert f"the local storage {queries}" in last
    said("the loop asks, and names the files")
    with Studio(commands, home, home / "studio") as studio:
        ann, bob = studio.owner(), studio.second_person("bob@example.com")
        project = ann.create_project(config_file.read_text())
        ann.import_file(project, tasks_file)
        tasks = ann.tasks(project)
        assert len(tasks) == 6
        assert [ann.status(task["data"]["image"]) for task in tasks.values()] == [404] * 6
        ann.add_storage(project, str(queries))
        assert [ann.status(task["data"]["image"]) for task in tasks.values()] == [200] * 6
        said("6 tasks are imported, every picture answers 200, and 404 without the storage")
        everything = list(tasks.values())
        ann.annotate(everything[0], None)
        given = {task["data"]["effjax_id"]: ann.annotate(task, class_of(task)) for task in everything[1:5]}
        other = CLASSES[1 - CLASSES.index(class_of(everything[1]))]
        differing = bob.annotate(everything[1], other, 7.5)
        export = queries / "round_00" / "annotations.json"
        export.write_bytes(ann.export(project, "JSON"))
        last = run_effjax(home, 1)
        id_ = everything[1]["data"]["effjax_id"]
        people = rf"annotator 1 says '{class_of(everything[1])}', annotator 2 says '{other}': let them agree"
        assert re.search(rf"annotations.json: nothing was taken over; task \d: id {id_}: {people}", last), last
        said(f"two annotators differ: {last}")
        bob.change(differing, class_of(everything[1]))
        export.write_bytes(ann.export(project, "JSON"))
        assert "5 answers are taken over, 1 are still to come" in run_effjax(home, 75)
        bob.annotate(everything[5], class_of(everything[5]), 4.25)
        export.write_bytes(ann.export(project, "JSON"))
        last = run_effjax(home, 75)
        assert "round_01/tasks.json" in last
        answers = {entry["id"]: entry for entry in ledger(home) if entry["event"] != "asked"}
        assert answers[everything[0]["data"]["effjax_id"]]["event"] == "skipped"
        mine = answers[everything[5]["data"]["effjax_id"]]
        assert (mine["who"], mine["seconds"]) == ("annotator 2", 4.25)
        said("annotations, a skip, a blank, who and how long are in the ledger; round 2 is asked for")
        for round_, kind, name in (
            (1, "JSON", "annotations.json"),
            (2, "JSON_MIN", "annotations.json"),
            (3, "CSV", "annotations.csv"),
        ):
            folder = queries / f"round_{round_:02d}"
            ann.import_file(project, folder / "tasks.json")
            new = [task for task in ann.tasks(project).values() if task["data"]["effjax_round"] == round_]
            assert len(new) == 3
            assert [ann.status(task["data"]["image"]) for task in new] == [200] * 3
            for task in new:
                ann.annotate(task, class_of(task))
            if round_ == 1:
                corrected, annotation = list(given.items())[-1]
                ann.change(annotation, "unlabelable")
            (folder / name).write_bytes(ann.export(project, kind))
            run_effjax(home, 75 if round_ < 3 else 0)
            said(f"round {round_ + 1} in the same project, exported as {kind}: read")
    found = ledger(home)
    corrections = [(entry["id"], entry["instead"]) for entry in found if entry["event"] == "corrected"]
    assert corrections == [(corrected, "unlabelable")], corrections
    labels = {entry["id"]: entry["label"] for entry in found if entry["event"] == "labelled"}
    paths = {entry["id"]: entry["path"] for entry in found if entry["event"] == "asked"}
    assert len(labels) == 5 + 9
    assert all(CLASSES[label] in paths[id_] for id_, label in labels.items())
    said("an earlier answer that was changed is a correction; every label is that of its photo")


if __name__ == "__main__":
    print("docs/label_your_own.md with Label Studio:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        follow(pathlib.Path(folder).resolve())
    print("as it is written.", flush=True)
