"""A Label Studio that runs, and what people do in its browser window, done through the same addresses."""

import http.cookiejar
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

_TOKEN = "0123456789abcdef0123456789abcdef01234567"  # of a server that lives for minutes, on loopback
_OWNER, _PASSWORD = "ann@example.com", "only-for-this-test"


class Studio:
    """Label Studio, started as the guide says.

    Args:
      commands: of the guide, from the first export to the start of the server.
      home: the person's folder.
      data: where Label Studio keeps its database.
    """

    def __init__(self, commands: str, home: pathlib.Path, data: pathlib.Path):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        assert "--port 8080" in commands
        more = f"--no-browser --data-dir {data} --username {_OWNER} --password {_PASSWORD} --user-token {_TOKEN}"
        script = commands.replace("--port 8080", f"--port {port} {more} --enable-legacy-api-token --log-level WARNING")
        quiet = {"COLLECT_ANALYTICS": "False", "LATEST_VERSION_CHECK": "False", "SENTRY_DSN": ""}
        self.address, self._log = f"http://127.0.0.1:{port}", data / "server.log"
        data.mkdir(parents=True)
        with self._log.open("wb") as log:
            options = {"stdout": log, "stderr": log, "stdin": subprocess.DEVNULL, "start_new_session": True}
            environment = {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **quiet}
            self._process = subprocess.Popen(["bash", "-ec", script], cwd=home, env=environment, **options)

    def __enter__(self) -> "Studio":
        while True:
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=5).close()
                return self
            except OSError:
                time.sleep(1)

    def __exit__(self, *_) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)  # the shell and the server: a session of their own
        self._process.wait()

    def owner(self) -> "Person":
        return Person(self.address, {"Authorization": f"Token {_TOKEN}"})

    def second_person(self, email: str) -> "Person":
        """Follows the link that the owner sends."""
        link = self.owner().get("/api/invite")["invite_url"]
        person = Person(self.address, {})
        person.open("GET", link)
        form = {"email": email, "password": _PASSWORD, "csrfmiddlewaretoken": person.cookie("csrftoken")}
        person.open("POST", link, urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded")
        return person


class Person:
    """Somebody who uses it."""

    def __init__(self, address: str, headers: dict[str, str]):
        self._address, self._headers, self._jar = address, headers, http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))

    def cookie(self, name: str) -> str:
        return next((cookie.value for cookie in self._jar if cookie.name == name), "")

    def open(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"):
        headers = {**self._headers, "Content-Type": kind, "Referer": self._address}
        if not self._headers:
            headers["X-CSRFToken"] = self.cookie("csrftoken")
        request = urllib.request.Request(self._address + path, data=body, method=method, headers=headers)
        with self._opener.open(request, timeout=120) as answer:
            return answer.status, answer.read()

    def status(self, path: str) -> int:
        try:
            return self.open("GET", path)[0]
        except urllib.error.HTTPError as error:
            return error.code

    def get(self, path: str):
        return json.loads(self.open("GET", path)[1])

    def post(self, path: str, content, method: str = "POST"):
        return json.loads(self.open(method, path, json.dumps(content).encode())[1])

    def create_project(self, label_config: str) -> int:
        return self.post("/api/projects", {"title": "A labelling loop", "label_config": label_config})["id"]

    def add_storage(self, project: int, path: str) -> None:
        self.post("/api/storages/localfiles", {"project": project, "path": path, "title": "queries"})

    def import_file(self, project: int, path: pathlib.Path) -> None:
        """As the button does: the file is sent as it is."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        body = (
            head.encode()
            + b"Content-Type: application/json\r\n\r\n"
            + path.read_bytes()
            + f"\r\n--{edge}--\r\n".encode()
        )
        self.open("POST", f"/api/projects/{project}/import", body, f"multipart/form-data; boundary={edge}")

    def tasks(self, project: int) -> dict[int, dict]:
        """By ``effjax_id``."""
        found = self.get(f"/api/tasks?project={project}&page_size=1000&fields=all")["tasks"]
        return {task["data"]["effjax_id"]: task for task in found}

    def annotate(self, task: dict, choice: str | None, seconds: float = 2.5) -> int:
        """Chooses, or skips; returns the annotation's number."""
        return self.submit(task, None if choice is None else [chosen("label", choice)], seconds)

    def change(self, annotation: int, choice: str) -> None:
        self.change_to(annotation, [chosen("label", choice)])

    def submit(self, task: dict, result: list[dict] | None, seconds: float = 2.5) -> int:
        """Submits what was chosen and drawn, or skips; returns the annotation's number."""
        said = {"result": result or [], "was_cancelled": result is None, "lead_time": seconds}
        return self.post(f"/api/tasks/{task['id']}/annotations/", said)["id"]

    def change_to(self, annotation: int, result: list[dict]) -> None:
        self.post(f"/api/annotations/{annotation}/", {"result": result, "was_cancelled": False}, "PATCH")

    def predictions(self, task: dict) -> list[dict]:
        return self.get(f"/api/tasks/{task['id']}")["predictions"]

    def export(self, project: int, kind: str) -> bytes:
        return self.open("GET", f"/api/projects/{project}/export?exportType={kind}")[1]


def chosen(name: str, choice: str) -> dict:
    return {"type": "choices", "from_name": name, "to_name": "image", "value": {"choices": [choice]}}


def storage_of(guide: str) -> str:
    """The folder that the guide says a project's storage is."""
    return re.search(r"your\s+folder\s+followed\s+by\s+`([^`]+)`", guide)[1]
