"""What keys of a config cannot say together, each being right by itself; found before anything is trained."""

from collections.abc import Iterator, Mapping
from typing import Any

from effjax.errors import nearest
from effjax.models.foreign import KNOWN, input_spec
from effjax.recipes.schema.example_keys import DIFFICULTIES, HELD_OUT
from effjax.recipes.schema.fields import plain
from effjax.recipes.schema.run_keys import Pruning
from effjax.steps.batch_selection import SELECTIONS, make_selection
from effjax.steps.sparsity import Level

_SEEDS = 2**32  # of networks: what draws are made of


def cross_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """A line for each mistake of a config whose keys and values are right by themselves."""
    runs = config["runs"]
    if not runs:
        yield "config.runs is empty: an experiment has at least one run"
        return
    for key, names in _named(config):
        for name in names:
            if name and name not in runs:
                yield f"config.{key}: no run {name!r}; {nearest(name, runs)}"
    for name in config["data"]["also"]:
        if name == "train" or "+" in name:
            yield f"config.data.also.{name}: another dataset is neither called 'train' nor has a + in its name"
    yield from _photo_problems(config["data"], config["view"])
    for name, view in config["views"].items():
        if config["view"]["crop_from"] == "photo" and "crop" in view:
            yield f"config.views.{name}.crop={view['crop']}: photos are cut once, as they are decoded, for all views"
    for name, run in runs.items():
        key = f"config.runs.{name}"
        yield from _seed_problems(config, run, key)
        if run["batch_size"] % run["accumulate"]:
            yield f"{key}.accumulate={run['accumulate']} does not divide {key}.batch_size={run['batch_size']}"
        if run["forgetting"] and not run["record"]:
            yield f"{key}.forgetting=True: nothing is noted of examples without {key}.record=True"
        if run["batch_size"] % run["repeats"]:
            yield f"{key}.repeats={run['repeats']} does not divide {key}.batch_size={run['batch_size']}"
        if run["repeats"] > 1 and run["record"]:
            yield f"{key}.repeats={run['repeats']}: {key}.record=True notes one view of an example a step"
        if run["repeats"] > 1 and run["selection"]:
            yield f"{key}.repeats={run['repeats']}: {key}.selection chooses among examples that come once a step"
        yield from _replay_problems(run, key)
        yield from _teacher_problems(config, run, key)
        yield from _pruning_problems(run, key)
        yield from _rewind_problems(config, run, key)
        for part, random in (("pacing", "order"), ("coreset", "part")):
            if run[part] and run[part][random] != "random":
                yield from _difficulty_problems(config, run[part], f"{key}.{part}")
        yield from _selection_problems(config, run, f"{key}.selection")
    yield from _export_problems(config)


def _photo_problems(data: Mapping[str, Any], view: Mapping[str, Any]) -> Iterator[str]:
    """What of a photo cannot be seen."""
    if data["crop_pct"] != 1 and not data["image_size"]:
        yield f"config.data.crop_pct={data['crop_pct']}: say config.data.image_size, that images are decoded to"
    if view["crop_from"] != "photo":
        if view["resampler"] != "pillow":
            yield f"config.view.resampler={view['resampler']!r} is for parts of photos: use crop_from='photo'"
        return
    key = "config.view.crop_from='photo'"
    if not view["crop"]:
        yield f"{key}: nothing is cut with config.view.crop=0.0; 0.08 is usual"
    if not data["image_size"]:
        yield f"{key}: say config.data.image_size, that images are decoded to"
    if view["replays"]:
        yield f"{key}: each step sees another part, and no version comes again: config.view.replays must be 0"


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """By key, the runs that it names."""
    yield "control", [config["control"]]
    yield "reference", [config["reference"]]
    if config["recipe"] != "compress":  # whose table is of exports
        yield "table", list(config["table"])
    yield "claims", [run for claim in config["claims"] for run in claim[1:]]


def _export_problems(config: Mapping[str, Any]) -> Iterator[str]:
    exports, runs = config["exports"], config["runs"]
    for name, export in exports.items():
        key = f"config.exports.{name}"
        if export["run"] not in runs:
            yield f"{key}.run={export['run']!r}; {nearest(export['run'], runs)}"
        for part in ("teacher", "control"):
            if export[part] and export[part] not in exports:
                yield f"{key}.{part}={export[part]!r} is no export; {nearest(export[part], exports)}"
            elif export[part] == name:
                yield f"{key}.{part}={name!r} is the export itself; name another"


def _seed_problems(config: Mapping[str, Any], run: Mapping[str, Any], key: str) -> Iterator[str]:
    query = run["query"]
    if run["num_seeds"] > config["num_seeds"]:
        yield f"{key}.num_seeds={run['num_seeds']}: the experiment has config.num_seeds={config['num_seeds']}"
    members = query["members"] if query and query["predictions"] == "ensemble" else 0
    each, last = max(run["folds"], members, 1), config["seed"] + config["num_seeds"]
    if last * each > _SEEDS:
        of = f", {each} networks each in {key}" if each > 1 else ""
        yield f"config.seed={config['seed']}, config.num_seeds={config['num_seeds']}{of}: seeds must stay below 2**32"


def _teacher_problems(config: Mapping[str, Any], run: Mapping[str, Any], key: str) -> Iterator[str]:
    seeds = range(config["seed"], config["seed"] + config["num_seeds"])
    for teacher, source in run["teachers"].items():
        where = f"{key}.teachers.{teacher}"
        if sum(bool(source[kind]) for kind in ("run", "checkpoint", "weights", "function")) != 1:
            yield f"{where}: give one of run, checkpoint, weights and function"
        elif source["run"] and source["run"] not in config["runs"]:
            yield f"{where}.run={source['run']!r}; {nearest(source['run'], config['runs'])}"
        if source["part"] and not (source["file"] and source["weights"]):
            said = f"it names a state dict of the file of {where}.weights, which is missing"
            yield f"{where}.part={source['part']!r}: {said}"
        unscaled = source["file"] and not (source["mean"] and source["std"])
        if unscaled and source["weights"] in KNOWN:
            usual = input_spec(source["weights"], source["options"])
            yield (
                f"{where}.mean and .std are missing: a file does not tell the scale of its images; {source['weights']} "
                f"is usually trained with mean={usual.mean}, std={usual.std}"
            )
        if source["function"] and not (source["mean"] and source["std"]):
            yield f"{where}.mean and .std are missing: a function does not tell the scale of its images"
        if not set(source["seeds"]) <= set(seeds):
            yield f"{where}.seeds={tuple(source['seeds'])}: the experiment has the seeds {tuple(seeds)}"


def _pruning_problems(run: Mapping[str, Any], key: str) -> Iterator[str]:
    if "sparsity" not in run["plans"]:
        for name, default in plain(Pruning()).items():
            if run["pruning"][name] != default:
                yield f"{key}.pruning.{name}={run['pruning'][name]!r}: nothing is pruned without {key}.plans.sparsity"
    elif run["pruning"]["score"] == "saliency" and "trainable" in run["plans"]:
        yield f"{key}.pruning.score='saliency': weights that {key}.plans.trainable leaves out have no gradient"


def _rewind_problems(config: Mapping[str, Any], run: Mapping[str, Any], key: str) -> Iterator[str]:
    runs, rewind = config["runs"], run["rewind"]
    if not rewind:
        return
    if run["init"]:
        yield f"{key}.rewind, {key}.init={run['init']!r}: a run starts from one of them"
    for part in ("run", "masks"):
        name = rewind[part]
        if name and name not in runs:
            yield f"{key}.rewind.{part}={name!r}; {nearest(name, runs)}"
        elif name and (runs[name]["model"] != run["model"] or "image_size" in {**runs[name]["plans"], **run["plans"]}):
            yield f"{key}.rewind.{part}={name!r}: config.runs.{name}.model must be {key}.model, at one image size"
        elif name and _seeds(config, runs[name]) < _seeds(config, run):
            yield f"{key}.rewind.{part}={name!r}: {key} has more seeds, {_seeds(config, run)}, than it"
    masks = runs.get(rewind["masks"])
    if masks is not None:
        if "sparsity" not in masks["plans"] or "sparsity" not in run["plans"]:
            yield f"{key}.rewind.masks={rewind['masks']!r}: both runs must have plans.sparsity"
        else:
            yield from _ticket_problems(masks, run, f"{key}.rewind.masks={rewind['masks']!r}")


def _seeds(config: Mapping[str, Any], run: Mapping[str, Any]) -> int:
    return run["num_seeds"] or config["num_seeds"]


def _ticket_problems(masks: Mapping[str, Any], run: Mapping[str, Any], key: str) -> Iterator[str]:
    for name in ("structure", "scope", "dense"):
        if masks["pruning"][name] != run["pruning"][name]:
            yield f"{key}: pruning.{name} must be the same, {masks['pruning'][name]!r}, not {run['pruning'][name]!r}"
    last, first = (
        next((Level.read(value) for _, value in pieces), None)
        for pieces in (masks["plans"]["sparsity"][::-1], run["plans"]["sparsity"])
    )
    if last and first and (first.ramp or first.sparsity != last.sparsity):
        yield f"{key} ends at a sparsity of {last.sparsity:g}: let plans.sparsity begin with it"


def _replay_problems(run: Mapping[str, Any], key: str) -> Iterator[str]:
    if "replay" not in run["plans"]:
        return
    again = f"and {key}.plans.replay shows some of them several times"
    if run["repeats"] > 1:
        yield f"{key}.repeats={run['repeats']}: a step shows each of its examples so often, {again}"
    if run["record"]:
        yield f"{key}.record=True notes each example of a step, {again}"
    if run["selection"]:
        yield f"{key}.selection chooses among examples that come once a step, {again}"


def _selection_problems(config: Mapping[str, Any], run: Mapping[str, Any], key: str) -> Iterator[str]:
    selection = run["selection"]
    if not selection:
        return
    score = selection["score"]
    given = {name: value for name, value in selection.items() if name not in ("score", "run", "by")}
    for name in sorted(given.keys() - (SELECTIONS[score].__kwdefaults__ or {}).keys()):
        yield f"{key}.{name}={given[name]!r}: {score!r} has none"
    if "candidates" not in run["plans"]:
        yield f"{key}.score={score!r} chooses among candidates: say how many there are, plans.candidates=[[0, 4.0]]"
    needs = make_selection(score).reference
    if needs:
        yield from _difficulty_problems(config, {"run": "", "by": HELD_OUT, **selection}, key)
    for name in ("run", "by"):
        if name in selection and not needs:
            yield f"{key}.{name}={selection[name]!r}: {score!r} has no reference"


def _difficulty_problems(config: Mapping[str, Any], ranking: Mapping[str, Any], key: str) -> Iterator[str]:
    """What the run that examples are ranked by has not."""
    name, by = ranking["run"], ranking["by"]
    reference = config["runs"].get(name)
    if reference is None:
        yield f"{key}.run={name!r}; {nearest(name, config['runs'])}"
    elif DIFFICULTIES[by] == "record" and not reference["record"]:
        yield f"{key}.by={by!r}: config.runs.{name}.record must be True"
    elif DIFFICULTIES[by] == "forgetting" and not reference["forgetting"]:
        yield f"{key}.by={by!r}: config.runs.{name}.forgetting must be True"
    elif DIFFICULTIES[by] == "folds" and reference["folds"] < 2:
        yield f"{key}.by={by!r}: config.runs.{name}.folds={reference['folds']} must be 2 or more"
