"""metrics.jsonl: a resumed run goes on exactly where its checkpoint was."""

import contextlib
import json
import struct

import pytest
from disks import no_file_longer_than
from tensorboardX.proto.event_pb2 import Event

from effjax.errors import UserError
from effjax.runtime.writers import METRICS_FILE, Writer, read_metrics


def write(workdir, start: int, stop: int, sums: str | None = None) -> str:
    """Goes on from one step to another; returns what the last checkpoint notes of the lines."""
    writer = Writer(workdir, start, sums)
    for step in range(start + 1, stop + 1):
        writer.scalars(step, {"train/loss": 1.0 / step})
    writer.close()
    return writer.sums()


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


LOST = {  # what happens to eight lines, what is left of them, what is said
    "flipped": (lambda a: [*a[:2], a[2].replace(b"0.3", b"0.2"), *a[3:]], [0, 1, 3, 4, 5, 6, 7], ["line 3 is"]),
    "torn": (lambda a: [*a[:2], a[2][:9], *a[3:]], [0, 1, 3, 4, 5, 6, 7], ["line 3 is", "(from step 2 to step 4)"]),
    "no text": (lambda a: [*a[:2], b"\xff" + a[2], *a[3:]], [0, 1, 3, 4, 5, 6, 7], ["line 3 is"]),
    "lost": (lambda a: [*a[:2], *a[4:7]], [0, 1, 4, 5, 6], ["lines 3 to 4 are lost", "line 8 is"]),
    "joined": (lambda a: [*a[:2], a[2] + b" " + a[3], *a[4:]], [0, 1, 4, 5, 6, 7], ["lines 3 to 4 are lost"]),
    "first": (lambda a: a[1:], [1, 2, 3, 4, 5, 6, 7], ["line 1 is lost or damaged (from step 0 to step 2)"]),
    "all": (lambda a: [], [], ["lines 1 to 8 are lost or damaged (from step 0 to step "]),
    "doubled": (lambda a: [*a[:3], a[2], *a[3:]], [0, 1, 2, 3, 4, 5, 6, 7], []),
    "swapped": (lambda a: [a[1], a[0], *a[2:]], [0, 1, 2, 3, 4, 5, 6, 7], []),
}


@pytest.mark.parametrize("damage", LOST)
def test_lines_that_are_lost_are_said_by_every_later_process(tmp_path, caplog, damage):
    happens, left, expected = LOST[damage]
    sums = write(tmp_path, 0, 8)
    path = tmp_path / METRICS_FILE
    lines = path.read_bytes().split(b"\n")[:-1]
    path.write_bytes(b"".join(line + b"\n" for line in happens(lines)) + b'{"step": 9, "tr')
    for start in (8, 10, 12):  # the second and the third process find a file that is whole, with a hole
        caplog.clear()
        sums = write(tmp_path, start, start + 2, sums)
        assert [line["step"] for line in read_metrics(tmp_path)] == [row + 1 for row in left] + list(
            range(9, start + 3)
        )
        assert path.read_bytes().split(b"\n")[: len(left)] == [lines[row] for row in left]
        assert len(caplog.messages) == bool(expected)
        assert all(text in caplog.text for text in (*expected, str(path)) if expected)


def test_a_checkpoint_of_an_earlier_version_does_not_know_its_lines(tmp_path, caplog):
    write(tmp_path, 0, 8)
    path = tmp_path / METRICS_FILE
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], b"\x00\x00", *lines[3:]]))
    sums = write(tmp_path, 6, 10)
    assert "line 3 is damaged" in caplog.text
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 4, 5, 6, 7, 8, 9, 10]
    caplog.clear()
    assert write(tmp_path, 10, 10, sums) == sums
    assert not caplog.messages


def test_a_damaged_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"metrics.jsonl: no such file or directory"):
        read_metrics(tmp_path)
    write(tmp_path, 0, 3)
    path = tmp_path / METRICS_FILE
    whole = path.read_bytes()
    for position in range(len(whole) - 1):
        path.write_bytes(whole[:position] + b"\xfe" + whole[position + 1 :])
        with pytest.raises(
            UserError, match=r"metrics.jsonl is damaged \(line [123]\): run the training's command"
        ) as error:
            read_metrics(tmp_path)
        assert "\n" not in str(error.value)
    path.write_bytes(whole[:-5])  # the end is being written
    assert len(read_metrics(tmp_path)) == 2


def test_every_line_is_on_disk_at_once(tmp_path):
    writer = Writer(tmp_path, 0)
    writer.scalars(1, {"a": 0.1})
    assert (tmp_path / METRICS_FILE).read_text() == json.dumps({"step": 1, "a": 0.1}) + "\n"
    writer.close()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/run: not a directory"):
        Writer(tmp_path / "file" / "run", 0)


@pytest.mark.parametrize("write", [Writer.scalars, Writer.speeds], ids=["metrics", "events"])
def test_a_disk_that_fills_up_is_reported_and_not_waited_for(tmp_path, write):
    def fill():
        for step in range(1, 10_000):
            write(writer, step, {"train/loss": 0.5})

    writer = Writer(tmp_path, 0)
    with no_file_longer_than(8192):
        with pytest.raises(UserError, match=r"file too large: .*run the same command again"):
            fill()
        with contextlib.suppress(UserError):  # or once more
            writer.close()


def test_events_can_be_read_as_tensorboard_does(tmp_path):
    write(tmp_path, 0, 3)
    write(tmp_path, 2, 4)
    first, second = (list(_events(path)) for path in sorted((tmp_path / "events").iterdir(), key=lambda p: p.name))
    assert [(event.step, event.summary.value[0].simple_value) for event in first if event.summary.value] == [
        (step, pytest.approx(1.0 / step)) for step in (1, 2, 3)
    ]
    purged = [event.step for event in second if event.session_log.status]
    assert purged == [3]
    assert [event.step for event in second if event.summary.value] == [3, 4]
    assert [event.summary.value[0].tag for event in second if event.summary.value] == ["train/loss"] * 2


def _events(path):
    """The events of a file of length-prefixed records, each with two checksums."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]
