"""What a new machine is told to install, and what an import brings in."""

import ast
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tomllib

import yaml

import effjax

REPOSITORY = pathlib.Path(__file__).parents[1]
OURS = {"effjax", "launch", "configs", "tests", "benchmarks"}


def declared(*files: str) -> set[str]:
    """The distributions that requirement files name."""
    lines = [line.partition("#")[0].strip() for file in files for line in (REPOSITORY / file).read_text().splitlines()]
    return {normal(re.match(r"[\w.-]+", line)[0]) for line in lines if line}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(*folders: str) -> dict[str, str]:
    """The top-level modules of others that files import, with one that does."""
    found = {}
    for path in (path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            found.update((name.partition(".")[0], str(path.relative_to(REPOSITORY))) for name in names)
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | OURS}


def undeclared(modules: dict[str, str], *files: str) -> dict[str, str]:
    distributions, names = importlib.metadata.packages_distributions(), declared(*files)
    return {m: path for m, path in modules.items() if not names & set(map(normal, distributions.get(m, ["?"])))}


def test_what_is_imported_is_declared():
    assert undeclared(imported("effjax", "launch", "configs"), "requirements.txt", "requirements-export.txt") == {}


def test_what_tests_import_is_declared():
    """Of modules beside the tests nothing is said; the goldens were made elsewhere."""
    local = {path.stem for path in (REPOSITORY / "tests").rglob("*")}
    modules = {m: path for m, path in imported("tests").items() if m not in local and "/goldens/" not in path}
    assert undeclared(modules, "requirements.txt", "requirements-dev.txt") == {}


def test_the_losses_alone_need_little():
    heavy = ["tensorflow_datasets", "grain", "orbax", "flax", "optax", "ml_collections", "matplotlib", "tqdm", "PIL"]
    code = f"import sys; from effjax import losses; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_packages_are_there_after_the_import():
    names = "[getattr(effjax, name).__name__ for name in dir(effjax)[1:]]"
    code = f"import effjax, sys; assert 'jax' not in sys.modules; print({names})"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == f"{[f'effjax.{name}' for name in effjax.__all__]}\n"


def test_versions_agree():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    newest = re.search(r"^## \[(\d.*?)\] - (\S+)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert (citation["version"], citation["date-released"]) == newest.groups()
    assert citation["version"] == effjax.__version__
    assert citation["license"] == tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["license"]


def test_ci_and_commits_check_what_the_script_checks():
    script = (REPOSITORY / "launch" / "test.sh").read_text()
    job = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yml").read_text())["jobs"]["test"]
    assert job["steps"][-1] == {"run": "bash launch/test.sh"}
    least = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"].removeprefix(">=")
    assert job["strategy"]["matrix"]["python"][0] == least
    (hooks,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in hooks["hooks"]:
        assert hook["entry"].partition(" --")[0] in script
