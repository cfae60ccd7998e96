"""Tables of files: what they cost, how good they are, and what became of each beside its control."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from effjax.reports import tables
from effjax.reports.tables import Estimate, Table

Summary = Mapping[str, Mapping[str, Any]]

BATCHES = ("1", "32")
BETTER, WORSE, ALIKE = "better", "worse", "not told apart"
_HARDLY = 0.95  # times the control's cost: what is less than a twentieth is noise
_HEADERS = (
    *("file", "bits", "parameters", "not 0", "M multiply-adds", "kB", "zipped"),
    *("test acc. last", "best", "Δ to control", "agrees with itself", "with teacher", "ECE", "same bits"),
    *(f"ms, {size} image{'s' * (size != '1')}" for size in BATCHES),
)


def files(summary: Summary, labels: Mapping[str, str]) -> Table:
    """A row a file.

    Args:
      summary: by export ``bits``, ``control``, ``latency`` and ``seeds``, in the order of the table.
      labels: what the table calls the exports.
    """
    return Table(_HEADERS, [_row(labels[name], export, summary) for name, export in summary.items()])


def _row(label: str, export: Mapping[str, Any], summary: Summary) -> tuple[str, ...]:
    seeds = export["seeds"]
    gain = ""
    if control := export["control"]:
        gain = Estimate.paired(seeds, summary[control]["seeds"], "accuracy").percent("+")

    mean = functools.partial(_mean, export)

    def share(key: str) -> str:
        return "" if seeds[0].get(key) is None else f"{100 * mean(key):.2f} %"

    return (
        label,
        "float" if export["bits"] == "float32" else export["bits"],
        f"{mean('parameters'):,.0f}",
        f"{100 * mean('nonzero') / mean('parameters'):.0f} %",
        f"{mean('multiply_adds') / 1e6:.2f}",
        f"{mean('bytes') / 1e3:,.1f}",
        f"{mean('bytes_zipped') / 1e3:,.1f}",
        Estimate.over_seeds(seeds, "test/accuracy").percent(),
        Estimate.over_seeds(seeds, "test/accuracy_best").percent(),
        gain,
        share("agreement_own"),
        share("agreement"),
        f"{mean('ece'):.4f}",
        share("same_bits"),
        *(f"{export['latency'][size]['least']:.3f} / {export['latency'][size]['median']:.3f}" for size in BATCHES),
    )


def comparisons(summary: Summary, labels: Mapping[str, str]) -> Table | None:
    """A row a file that has a control: what it gains and loses, in accuracy, bytes and milliseconds; None without any.

    Args:
      summary: as of :func:`files`.
      labels: what the table calls the exports.

    Returns:
      The table; its p-values are corrected for how many there are, see :data:`COMPARED`.
    """
    judged = verdicts(summary)
    rows = []
    for name, (gain, p, verdict) in judged.items():
        shown = "" if gain.spread is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
        costs = (_zipped, *(functools.partial(_milliseconds, size=size) for size in BATCHES))
        rows.append(
            (
                f"{labels[name]} − {labels[summary[name]['control']]}",
                *(gain.percent("+"), shown, verdict),
                *(f"{_ratio(summary, name, cost):.2f}" for cost in costs),
            )
        )
    headers = ("file − control", "accuracy", "p", "verdict", "zipped ×", *(f"ms ×, {size}" for size in BATCHES))
    return Table(headers, rows) if rows else None


#: How :func:`comparisons` is to be read, for a note.
COMPARED = (
    "Accuracy: the mean difference to the control at the step that counts, seed by seed, ± half its 95 % interval "
    "(Student’s t). p: of a paired t-test, corrected by Holm for all rows; a file is called better or worse where it "
    "is below 0.05. Zipped and ms (least): how many times the control’s; below 1 is smaller or faster."
)


def from_teachers(summary: Summary, labels: Mapping[str, str]) -> Table | None:
    """A row a file that has a teacher: how much smaller and faster than the teacher's file it is; None without any.

    Args:
      summary: as of :func:`files`, with ``teacher``.
      labels: what the table calls the exports.
    """
    rows = []
    for name, export in summary.items():
        if (teacher := export["teacher"]) not in summary:
            continue
        other = summary[teacher]
        costs = (_bytes, _zipped, *(functools.partial(_milliseconds, size=size) for size in BATCHES))
        rows.append(
            (
                f"{labels[name]} − {labels[teacher]}",
                Estimate.paired(export["seeds"], other["seeds"], "accuracy").percent("+"),
                *(f"{cost(other) / cost(export):.1f} ×" for cost in costs),
            )
        )
    headers = ("file − its teacher", "accuracy", "smaller", "zipped", *(f"faster, {size}" for size in BATCHES))
    return Table(headers, rows) if rows else None


#: How :func:`from_teachers` is to be read, for a note.
FROM_TEACHERS = (
    "From end to end, beside the file of the network that the others are to replace: all that was done to a file "
    "together. Accuracy: the mean difference at the step that counts, seed by seed, ± half its 95 % interval; not "
    "corrected for how many rows there are. Smaller, zipped, faster (least): how many times."
)


def from_elsewhere(teachers: Summary) -> Table | None:
    """A row a teacher that is no run, and so has no file; None without any.

    Args:
      teachers: by what they are called, ``params``, ``mflops`` and ``seeds``.
    """
    rows = [
        (
            name,
            f"{teacher['params']:,}",
            f"{teacher['mflops'] / 2:.2f}",
            f"{100 * teacher['seeds'][0]['test/accuracy']:.2f} %",
            f"{teacher['seeds'][0]['test/ece']:.4f}",
        )
        for name, teacher in teachers.items()
    ]
    return Table(("teacher", "parameters", "M multiply-adds", "test acc.", "ECE"), rows) if rows else None


#: How :func:`from_elsewhere` is to be read, for a note.
FROM_ELSEWHERE = (
    "Teachers from elsewhere, as they answer in JAX at their own size and scale: they are not trained here, and "
    "nothing is exported of them. The same for all seeds."
)


def verdicts(summary: Summary) -> dict[str, tuple[Estimate, float, str]]:
    """Of each file that has a control, the difference of accuracies, its corrected p-value, and it in a word.

    Args:
      summary: as of :func:`files`.
    """
    names = [name for name, export in summary.items() if export["control"]]
    found = [
        tables.differences(summary[name]["seeds"], summary[summary[name]["control"]]["seeds"], "accuracy")
        for name in names
    ]
    corrected = tables.holm([tables.p_value(one) for one in found])
    estimates = [Estimate.interval(one) for one in found]
    return {
        name: (estimate, p, _verdict(estimate, p))
        for name, estimate, p in zip(names, estimates, corrected, strict=True)
    }


def lead(summary: Summary, labels: Mapping[str, str]) -> str:
    """What was found beside the controls, in sentences; what is worse or slower is said first."""
    judged = {name: verdict for name, (_, _, verdict) in verdicts(summary).items()}
    if not judged:
        return ""
    lighter = [name for name in judged if _is_lighter(summary[name], summary[summary[name]["control"]])]
    slow = [name for name in lighter if _ratio(summary, name, _milliseconds) > _HARDLY]
    large = [name for name in lighter if _ratio(summary, name, _zipped) > _HARDLY]
    groups = {
        "Less accurate than its control": [name for name, verdict in judged.items() if verdict == WORSE],
        "Not told apart from its control in accuracy": [
            name for name, verdict in judged.items() if verdict.startswith(ALIKE)
        ],
        "More accurate than its control": [name for name, verdict in judged.items() if verdict == BETTER],
        "Not faster by a twentieth at one image, though lighter": slow,
        "Not smaller by a twentieth when zipped, though lighter": large,
    }
    said = (f"{what}: {'; '.join(labels[name] for name in names)}." for what, names in groups.items() if names)
    return " ".join(said)


def _verdict(gain: Estimate, p: float) -> str:
    if gain.spread is None:
        return f"{ALIKE}: one seed"
    return ALIKE if p >= 1 - tables.CONFIDENCE else BETTER if gain.mean > 0 else WORSE


def _is_lighter(export: Mapping[str, Any], control: Mapping[str, Any]) -> bool:
    """Whether a file is meant to cost less than its control: other bits, fewer parameters, more zeros."""
    keys = ("parameters", "nonzero")
    fewer = any(_mean(export, key) < _HARDLY * _mean(control, key) for key in keys)
    return export["bits"] != control["bits"] or fewer


def _ratio(summary: Summary, name: str, cost: Callable[[Mapping[str, Any]], float]) -> float:
    """How many times its control's cost a file's is."""
    return cost(summary[name]) / cost(summary[summary[name]["control"]])


def _milliseconds(export: Mapping[str, Any], size: str = "1") -> float:
    return export["latency"][size]["least"]


def _bytes(export: Mapping[str, Any]) -> float:
    return _mean(export, "bytes")


def _zipped(export: Mapping[str, Any]) -> float:
    return _mean(export, "bytes_zipped")


def _mean(export: Mapping[str, Any], key: str) -> float:
    return Estimate.over_seeds(export["seeds"], key).mean
