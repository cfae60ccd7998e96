"""What is run to show that a change to the code changes no number."""

import dataclasses
from pathlib import Path

#: Full experiments, of minutes; besides each config's variant ``tiny``.
FULL = ("distill/quickstart", "active/stream")
#: Variants of tests/small_configs.py.
SMALL = (
    *("plain", "devices", "kill", "early_best", "curriculum", "faults", "faults_together"),
    *("active", "faults_active"),
)
DATASETS = (
    *("digit_canvases", "digit_questions/unlearnable_30", "digits", "nuclei", "shapes_basic", "shapes_geom"),
    "solar_cells",
)

_AUGMENTED = {"flip": True, "shift": 2, "crop": 0.2, "operations": 2, "erasing": 0.25, "mixup": 0.8, "cutmix": 1.0}


@dataclasses.dataclass(frozen=True)
class Named:
    """Commands that share a folder.

    Attributes:
      commands: launchers' modules and their flags, run one after another in the folder; ``{code}`` stands for the code
        under test, ``{here}`` for this folder, ``{data}`` for the prepared datasets, ``{photos}`` for photos that
        :func:`tests.same_bits.photos.draw` has drawn.
      devices: virtual ones, of a process.
      waits: how often the last command stops for answers of people, which are then filled in.
      is_timed: whether its table holds times.
    """

    commands: tuple[tuple[str, ...], ...]
    devices: int = 1
    waits: int = 0
    is_timed: bool = False


def experiments(code: Path) -> dict[str, Named]:
    """By name, what is run; quick ones first."""
    found = {f"small {variant}": small(variant) for variant in SMALL}
    tiny = "configs/distill/digits.py:tiny"
    for backend in ("jit", "pmap"):
        found[f"digits {backend} 2 devices"] = _run("launch.train", tiny, f"--config.backend={backend}", devices=2)
    view = [f"--config.view.{key}={value}" for key, value in _AUGMENTED.items()]
    taught = ("distilled", "distilled_early_stop")  # by answers that are not stored
    beside = [f"--config.runs.{name}.teachers.teacher.cached=" for name in taught]
    found["digits augmented"] = _run("launch.train", tiny, *view, *beside, "--only=student,distilled")
    found["digits replayed"] = _run("launch.train", tiny, *view[:3], "--config.view.replays=3", "--only=distilled")
    found["digits from workers"] = _run(
        *("launch.train", tiny, "--config.data.on_device_mib=0", "--config.data.num_workers=1", "--only=distilled")
    )
    found["digits with noise"] = _run("launch.train", tiny, "--config.data.label_noise=0.2", "--only=student")
    found["analysis"] = _analysis()
    found["folder"] = _folder()
    found["people"] = dataclasses.replace(_run("launch.active", "{here}/people.py"), waits=3)
    found |= {
        f"data {name}": Named((("launch.data", f"--dataset={name}", "--data_dir=prepared"),)) for name in DATASETS
    }
    for path in sorted((code / "configs").glob("*/*.py")):
        if "``tiny``" in (text := path.read_text()):
            config = str(path.relative_to(code).with_suffix(""))
            run = _run(_launcher(path), f"{config}.py:tiny")
            timed = path.stem.startswith(("efficienttrain", "data_efficient")) or "launch.compress" in text
            found[f"{config.removeprefix('configs/')}:tiny"] = dataclasses.replace(run, is_timed=timed)
    for config in FULL:
        path = code / "configs" / f"{config}.py"
        found[config] = _run(_launcher(path), f"configs/{config}.py")
    return found


def small(variant: str, *given: str) -> Named:
    """A variant of tests/small_configs.py, with overrides."""
    launcher = "launch.active" if variant.endswith("active") else "launch.train"
    return _run(launcher, f"tests/small_configs.py:{variant}", *given)


def _launcher(path: Path) -> str:
    return "launch.active" if path.parent.name == "active" else "launch.train"


def _command(launcher: str, config: str, *given: str) -> tuple[str, ...]:
    path = config if config.startswith("{") else f"{{code}}/{config}"
    return launcher, f"--config={path}", "--workdir=runs", "--config.data.dir={data}", *given


def _run(launcher: str, config: str, *given: str, devices: int = 1) -> Named:
    return Named((_command(launcher, config, *given),), devices)


def _analysis() -> Named:
    """What is done with finished runs: of one and of two seeds."""
    train = _command("launch.train", "configs/distill/digits.py:tiny", "--config.num_seeds=2")
    runs = [f"runs/{name}/seed_0" for name in ("teacher", "distilled", "student")]
    shared = ("--data_dir={data}", "--max_examples=200")
    one = ("launch.analyze", f"--teacher={runs[0]}", f"--students={runs[1]}", f"--controls={runs[2]}", "--out=one")
    both = ("launch.analyze", "--experiment=runs", "--seeds=0,1", "--teacher=teacher", "--students=distilled")
    both += ("--controls=student", "--out=both", "--results=both.md")
    evaluate = ("launch.evaluate", f"--run={runs[1]}", "--split=test", "--data_dir={data}", "--step=best")
    return Named((train, (*one, *shared), (*both, *shared), evaluate))


def _folder() -> Named:
    """Of a folder of images: training, and choosing from another."""
    folder = ("--config.data.name=folder:{photos}/trained", "--config.data.image_size=16")
    train = _command("launch.train", "tests/small_configs.py:plain", *folder)
    runs = ",".join(f"runs/{name}/seed_0" for name in ("student", "distilled"))
    choose = ("launch.query", f"--runs={runs}", "--pool={photos}/pool", "--k=10", "--score=bald", "--out=query")
    return Named(
        (
            train,
            choose,
            ("launch.data", "--dataset=folder:{photos}/trained", "--contact_sheet=sheet.png", "--data_dir={data}"),
        )
    )
