"""metrics.jsonl: a resumed run goes on exactly where its checkpoint was."""

import json

import pytest

from effjax.errors import UserError
from effjax.runtime.writers import METRICS_FILE, Writer, read_metrics


def write(workdir, start: int, stop: int) -> None:
    writer = Writer(workdir, start)
    for step in range(start + 1, stop + 1):
        writer.scalars(step, {"train/loss": 1.0 / step})
    writer.close()


def test_writes_exact_numbers_and_reads_them_back(tmp_path):
    write(tmp_path / "new" / "run", 0, 3)
    assert read_metrics(tmp_path / "new" / "run") == [{"step": s, "train/loss": 1.0 / s} for s in (1, 2, 3)]
    assert list((tmp_path / "new" / "run" / "events").iterdir())


def test_speeds_are_not_in_the_file(tmp_path):
    writer = Writer(tmp_path, 0)
    writer.speeds(1, {"images_per_second": 5.0})
    writer.close()
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize("resume_at", [0, 1, 4, 7])
@pytest.mark.parametrize("rest", ["", '{"step": 8, "train/lo', "\x00\x00\x00\x00"], ids=["whole", "half", "zeros"])
def test_a_resumed_run_leaves_the_bytes_of_one_that_was_not_stopped(tmp_path, resume_at, rest):
    write(tmp_path / "undisturbed", 0, 9)
    write(tmp_path / "killed", 0, 7)
    with (tmp_path / "killed" / METRICS_FILE).open("a") as file:
        file.write(rest)
    write(tmp_path / "killed", resume_at, 9)
    names = ("killed", "undisturbed")
    killed, undisturbed = ((tmp_path / name / METRICS_FILE).read_bytes() for name in names)
    assert killed == undisturbed


def test_every_line_is_on_disk_at_once(tmp_path):
    writer = Writer(tmp_path, 0)
    writer.scalars(1, {"a": 0.1})
    assert (tmp_path / METRICS_FILE).read_text() == json.dumps({"step": 1, "a": 0.1}) + "\n"
    writer.close()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"workdir: cannot write .*file/run/metrics.jsonl: Not a directory"):
        Writer(tmp_path / "file" / "run", 0)
