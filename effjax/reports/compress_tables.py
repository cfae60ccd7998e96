"""Tables of files: what they cost, how good they are, and what became of each beside its control."""

from collections.abc import Mapping
from typing import Any

from effjax.reports import tables
from effjax.reports.tables import Estimate, Table

Summary = Mapping[str, Mapping[str, Any]]

BATCHES = ("1", "32")
BETTER, WORSE, ALIKE = "better", "worse", "not told apart"
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

    def mean(key: str) -> float:
        return Estimate.over_seeds(seeds, key).mean

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
        export, control = summary[name], summary[summary[name]["control"]]
        shown = "" if gain.spread is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
        rows.append(
            (
                f"{labels[name]} − {labels[export['control']]}",
                gain.percent("+"),
                shown,
                verdict,
                _times(_zipped(export), _zipped(control)),
                *(_times(export["latency"][size]["median"], control["latency"][size]["median"]) for size in BATCHES),
            )
        )
    headers = ("file − control", "accuracy", "p", "verdict", "zipped ×", *(f"ms ×, {size}" for size in BATCHES))
    return Table(headers, rows) if rows else None


#: How :func:`comparisons` is to be read, for a note.
COMPARED = (
    "Accuracy: the mean difference to the control at the step that counts, seed by seed, ± half its 95 % interval "
    "(Student’s t). p: of a paired t-test, corrected by Holm for all rows; a file is called better or worse where it "
    "is below 0.05. Zipped and ms (median): how many times the control’s; below 1 is smaller or faster."
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
    slower = [
        name
        for name in judged
        if summary[name]["latency"]["1"]["median"] >= summary[summary[name]["control"]]["latency"]["1"]["median"]
    ]
    larger = [name for name in judged if _zipped(summary[name]) >= _zipped(summary[summary[name]["control"]])]
    groups = {
        "Less accurate than its control": [name for name, verdict in judged.items() if verdict == WORSE],
        "Not told apart from it in accuracy": [name for name, verdict in judged.items() if verdict.startswith(ALIKE)],
        "More accurate": [name for name, verdict in judged.items() if verdict == BETTER],
        "Not faster at one image": slower,
        "Not smaller when zipped": larger,
    }
    said = (f"{what}: {'; '.join(labels[name] for name in names)}." for what, names in groups.items() if names)
    return " ".join(said)


def _verdict(gain: Estimate, p: float) -> str:
    if gain.spread is None:
        return f"{ALIKE}: one seed"
    return ALIKE if p >= 1 - tables.CONFIDENCE else BETTER if gain.mean > 0 else WORSE


def _zipped(export: Mapping[str, Any]) -> float:
    return Estimate.over_seeds(export["seeds"], "bytes_zipped").mean


def _times(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f}"
