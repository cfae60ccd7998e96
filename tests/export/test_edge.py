"""What docs/deploy.md shows: an exported network answers photos with onnxruntime alone, in Python and in a browser."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from effjax.data.sources import load
from effjax.recipes.export import subject
from effjax.recipes.export.experiment import export

REPOSITORY = Path(__file__).parents[2]
EDGE = REPOSITORY / "examples" / "edge"
WEB = REPOSITORY / ".cache" / "onnxruntime-web"

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model(tmp_path_factory, trained_mlp):
    """An exported network, and photos that are large."""
    folder = tmp_path_factory.mktemp("edge")
    export(subject.of_run(*trained_mlp), folder / "model", bits="w8a8", inputs="uint8", calibrate=64)
    source = load("digits", "test", trained_mlp[2])
    (folder / "photos").mkdir()
    for row in range(5):
        image = Image.fromarray(np.asarray(source[row]["image"])[:, :, 0])
        image.resize((56, 56), Image.Resampling.NEAREST).save(folder / "photos" / f"{row}.png")
    return folder


@pytest.fixture(scope="module")
def answers(model):
    """What the script says, by photo."""
    done = subprocess.run(
        [sys.executable, "-I", str(EDGE / "answer.py"), str(model / "model"), str(model / "photos")],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {photo: (choice, float(share.rstrip("%"))) for photo, choice, share in rows}


def test_the_script_answers_every_photo(answers):
    assert sorted(answers) == [f"{row}.png" for row in range(5)]
    assert all(choice in "0123456789" and 10 <= share <= 100 for choice, share in answers.values())
    assert len((EDGE / "answer.py").read_text().splitlines()) <= 30


def test_the_page_answers_as_the_script(model, answers):
    """In a real browser, by onnxruntime-web as npm has it."""
    chromium, npm = shutil.which("chromium"), shutil.which("npm")
    if not chromium or not npm:
        pytest.skip("no chromium, or no npm")
    if not (WEB / "node_modules").exists():
        WEB.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "onnxruntime-web"]
        if subprocess.run(command, cwd=WEB, capture_output=True, check=False, timeout=300).returncode:
            pytest.skip("onnxruntime-web cannot be installed here")
    # A browser without a head takes what it sees once no request is open; this one stays open.
    (model / "index.html").write_text((EDGE / "index.html").read_text() + '<img src="held">')
    (model / "ort").symlink_to(WEB / "node_modules" / "onnxruntime-web" / "dist")
    handler = functools.partial(_Quiet, directory=str(model))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = f"http://127.0.0.1:{server.server_port}/index.html?photo=photos/"
        for photo in ("0.png", "3.png"):
            found = []
            for _Quiet.held in (2, 10, 40):  # the slower the machine
                flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000", "--dump-dom"]
                done = subprocess.run(
                    [chromium, *flags, page + photo], capture_output=True, text=True, timeout=180, check=True
                )
                if found := re.findall(r"<td>([^<]+)</td>", done.stdout):
                    break
            assert found, done.stdout
            choice, share = found[:2]
            assert choice == answers[photo][0], done.stdout
            assert float(share.rstrip(" %")) == pytest.approx(
                answers[photo][1], abs=3
            )  # photos are made smaller otherwise
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not talk, and takes its time with one file that there is not."""

    held = 0.0  # seconds

    def do_GET(self):
        if self.path == "/held":
            time.sleep(self.held)
        super().do_GET()

    def log_message(self, format, *args):
        pass
