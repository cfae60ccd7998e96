"""The files for SLURM, a TPU pod and Kubernetes: sound in themselves, and all start the very same module."""

import copy
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import jsonschema
import pytest
import yaml

from effjax.runtime import EXIT_INTERRUPTED

REPOSITORY = pathlib.Path(__file__).parents[2]
LAUNCH = REPOSITORY / "launch"
SBATCH = LAUNCH / "slurm" / "train.sbatch"
TPU_POD = LAUNCH / "tpu_pod" / "train.sh"
JOBSET = LAUNCH / "kubernetes" / "jobset.yaml"
SHELL_FILES = sorted([*LAUNCH.rglob("*.sh"), *LAUNCH.rglob("*.sbatch")])


@pytest.fixture(scope="module")
def known_flags() -> set[str]:
    """The flags that ``launch.train`` defines."""
    code = "import json, launch.train; from absl import flags; print(json.dumps(list(flags.FLAGS)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def given_flags(arguments: list[str]) -> list[str]:
    return [argument.removeprefix("--").partition("=")[0] for argument in arguments if argument.startswith("--")]


def assert_starts_training(command: list[str], known: set[str]) -> dict[str, str]:
    """The command runs ``python -m launch.train`` with flags that it has. Returns them."""
    assert command[0].endswith("python"), command
    assert command[1:3] == ["-m", "launch.train"], command
    arguments = command[3:]
    assert all(argument.startswith("--") for argument in arguments), command
    for flag in given_flags(arguments):
        assert flag.partition(".")[0] in known, flag
    assert {"config", "workdir"} <= set(given_flags(arguments))
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def stub(folder: pathlib.Path, name: str, script: str) -> None:
    """Puts a program of this name into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
    (folder / name).chmod(0o755)


def bash(file: pathlib.Path, *arguments: str, path: pathlib.Path, cwd: pathlib.Path, **environment: str):
    """Runs a script with programs of ours first in the path."""
    kept = {name: value for name, value in os.environ.items() if name not in ("CONFIG", "WORKDIR", "DATA_DIR")}
    environment = {**kept, **environment, "PATH": f"{path}:{os.environ['PATH']}"}
    return subprocess.run(["bash", file, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("file", SHELL_FILES, ids=lambda file: str(file.relative_to(LAUNCH)))
def test_shell_syntax(file):
    done = subprocess.run(["bash", "-n", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_shell_files_are_seen():
    assert {"quickstart.sh", "setup.sh", "test.sh", "train.sh", "train.sbatch"} <= {file.name for file in SHELL_FILES}


# SLURM


@pytest.fixture
def directives() -> dict[str, str]:
    lines = SBATCH.read_text().splitlines()
    found = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    code = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(number < code for number, line in enumerate(lines) if line.startswith("#SBATCH"))  # later ones are lost
    for directive in found:
        assert re.fullmatch(r"--[a-z-]+(=\S+)?", directive), directive
    return {name: value for name, _, value in (d.removeprefix("--").partition("=") for d in found)}


def test_slurm_directives(directives):
    assert SBATCH.read_text().startswith("#!")
    assert {"nodes", "ntasks-per-node", "cpus-per-task", "time", "signal", "requeue", "open-mode"} <= set(directives)
    for name in ("nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task"):
        assert int(directives[name]) > 0
    assert directives["requeue"] == ""
    assert directives["open-mode"] == "append"  # or a requeued job loses its log
    assert re.fullmatch(r"(\d+-)?\d+:\d\d:\d\d", directives["time"])
    number, at = directives["signal"].split("@")  # no B: in front: the signal is for the processes, not for the shell
    assert (number, int(at) >= 60) == ("TERM", True)
    # JAX takes on each node the GPU of the task's number, which it must see.
    assert directives["gpus-per-node"] == directives["ntasks-per-node"]
    assert not {"gpus-per-task", "gpu-bind", "ntasks-per-gpu"} & set(directives)


def sbatch(tmp_path: pathlib.Path, *arguments: str, code: int = 0, **environment: str):
    """Runs the batch script as SLURM would, and returns it with what it had started."""
    stub(tmp_path / "bin", "srun", f'printf "%s\\n" "$SRUN_CPUS_PER_TASK" "$@" > srun.txt; exit {code}')
    stub(tmp_path / "bin", "scontrol", 'echo "$@" > scontrol.txt')
    environment |= {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "77", "SLURM_CPUS_PER_TASK": "8"}
    done = bash(SBATCH, *arguments, path=tmp_path / "bin", cwd=REPOSITORY, **environment)
    cpus, *command = (tmp_path / "srun.txt").read_text().splitlines()
    assert cpus == "8"
    return done, command


def test_slurm_starts_the_module(tmp_path, known_flags):
    done, command = sbatch(tmp_path, "--config.num_seeds=5")
    assert done.returncode == 0, done.stderr
    given = assert_starts_training(command, known_flags)
    assert (REPOSITORY / given["config"]).exists()
    assert given["config.num_seeds"] == "5"
    assert not {"coordinator", "num_processes", "process_id"} & set(given)  # found by themselves
    _, command = sbatch(tmp_path, CONFIG="some file.py", WORKDIR="/a b", DATA_DIR="/c d")
    given = assert_starts_training(command, known_flags)
    assert (given["config"], given["workdir"], given["config.data.dir"]) == ("some file.py", "/a b", "/c d")


@pytest.mark.parametrize("code", [0, 1, EXIT_INTERRUPTED, 137])
def test_slurm_queues_again_what_was_interrupted(tmp_path, code):
    done, _ = sbatch(tmp_path, code=code)
    assert done.returncode == code
    requeued = tmp_path / "scontrol.txt"
    assert requeued.exists() == (code == EXIT_INTERRUPTED)
    if requeued.exists():
        assert requeued.read_text() == "requeue 77\n"


# TPU pod


def tpu_pod(tmp_path: pathlib.Path, *arguments: str, **environment: str):
    """Runs the script; its gcloud runs the command that it is given, here, in a home with a clone of little."""
    clone = tmp_path / "home" / environment.get("REPOSITORY", "effjax")
    python = 'if [ "$2" = pip ]; then echo "$@" >> ~/pip.txt; else printf "%s\\n" "$0" "$@" > ~/train.txt; fi'
    stub(clone / ".venv" / "bin", "python", python)
    stub(clone / "launch", "setup.sh", 'echo "$@" > ~/setup.txt')
    gcloud = 'printf "%s\\n" "${@:1:$#-1}" > ~/gcloud.txt; eval "last=\\${$#}"; cd; exec bash -c "${last#--command=}"'
    stub(tmp_path / "bin", "gcloud", gcloud)
    home = str(tmp_path / "home")
    done = bash(TPU_POD, *arguments, path=tmp_path / "bin", cwd=REPOSITORY, **environment, HOME=home)
    return done, tmp_path / "home"


def test_tpu_pod_starts_the_module_on_every_host(tmp_path, known_flags):
    environment = {"TPU": "pod", "ZONE": "here", "CONFIG": "some file.py", "REPOSITORY": "a clone"}
    done, home = tpu_pod(tmp_path, "--config.label=it's", **environment)
    assert done.returncode == 0, done.stderr
    gcloud = (home / "gcloud.txt").read_text().splitlines()
    assert gcloud[:5] == ["compute", "tpus", "tpu-vm", "ssh", "pod"]
    assert {"--zone=here", "--worker=all", "--batch-size=all"} == set(gcloud[5:])
    assert (home / "setup.txt").read_text() == "requirements.txt\n"
    assert "jax[tpu]" in (home / "pip.txt").read_text()
    given = assert_starts_training((home / "train.txt").read_text().splitlines(), known_flags)
    assert (given["config"], given["config.label"]) == ("some file.py", "it's")
    assert not {"coordinator", "num_processes", "process_id"} & set(given)  # found by themselves


def test_tpu_pod_defaults(tmp_path, known_flags):
    done, home = tpu_pod(tmp_path, TPU="pod", ZONE="here")
    assert done.returncode == 0, done.stderr
    given = assert_starts_training((home / "train.txt").read_text().splitlines(), known_flags)
    assert (REPOSITORY / given["config"]).exists()


def test_tpu_pod_asks_for_the_slice(tmp_path):
    done, home = tpu_pod(tmp_path, ZONE="here", TPU="")
    assert done.returncode != 0
    assert "TPU: the name of the slice" in done.stderr
    assert not (home / "gcloud.txt").exists()


# Kubernetes


@pytest.fixture(scope="module")
def schema():
    schema = json.loads((pathlib.Path(__file__).parent / "jobset_schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def documents():
    return list(yaml.safe_load_all(JOBSET.read_text()))


def test_jobset_fits_its_schema(schema, documents):
    config, jobset = documents
    assert (config["apiVersion"], config["kind"]) == ("v1", "ConfigMap")
    assert all(isinstance(value, str) for value in config["data"].values())
    assert [error.message for error in schema.iter_errors(jobset)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("apiVersion", "jobset.x-k8s.io/v1"),
        ("metadata.name", "Effjax_1"),
        ("spec.maxRestarts", 3),
        ("spec.failurePolicy.rules.0.action", "Restart"),
        ("spec.replicatedJobs.0.template.spec.completions", "2"),
        ("spec.replicatedJobs.0.template.spec.template.spec.restartPolicy", "OnFailure"),
        ("spec.replicatedJobs.0.template.spec.template.spec.containers.0.args", "--config=a"),
    ],
)
def test_the_schema_notices_mistakes(schema, documents, path, value):
    changed = copy.deepcopy(documents[1])
    *parents, last = path.split(".")
    place = changed
    for name in parents:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    assert not schema.is_valid(changed)


def test_jobset_starts_the_module_in_every_pod(documents, known_flags):
    config, jobset = documents
    (replicated,) = jobset["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    given = assert_starts_training([*container["command"], *container["args"]], known_flags)
    assert (REPOSITORY / config["data"]["CONFIG"]).exists()
    assert [source["configMapRef"]["name"] for source in container["envFrom"]] == [config["metadata"]["name"]]
    used = set(re.findall(r"\$\((\w+)\)", shlex.join(container["args"])))
    assert used == {*config["data"], "JOB_COMPLETION_INDEX"}
    # As many processes as pods, each numbered by the job, and all meet at pod 0's own name and open port.
    assert job["completionMode"] == "Indexed"
    assert replicated.get("replicas", 1) == 1
    assert {str(job["completions"]), str(job["parallelism"])} == {given["num_processes"]}
    assert given["process_id"] == "$(JOB_COMPLETION_INDEX)"
    host, port = given["coordinator"].split(":")
    name, network = jobset["metadata"]["name"], jobset["spec"]["network"]
    assert host == f"{name}-{replicated['name']}-0-0.{network.get('subdomain', name)}"
    assert network["enableDNSHostnames"]
    assert int(port) in [opened["containerPort"] for opened in container["ports"]]


def test_jobset_goes_on_after_an_interruption(documents):
    _, jobset = documents
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    exits = [rule for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert [(rule["action"], rule["onExitCodes"]["values"]) for rule in exits] == [("FailJob", [EXIT_INTERRUPTED])]
    (rule,) = jobset["spec"]["failurePolicy"]["rules"]
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert job["backoffLimit"] == 0
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] >= 60


def test_jobset_shares_a_volume(documents):
    config, jobset = documents
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts)
    for name in ("WORKDIR", "DATA_DIR"):
        assert any(config["data"][name].startswith(f"{path}/") for path in mounts.values())
