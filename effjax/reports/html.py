"""One self-contained HTML file: tables, curves, and what the networks think of some images."""

import base64
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from effjax.reports.tables import Table


@dataclasses.dataclass(frozen=True)
class Opinion:
    """What several networks think of one image.

    Attributes:
      image: uint8 ``[H, W, C]``.
      label: the true class.
      caption: what is said below the image.
      probs: by network, its probabilities ``[K]``.
    """

    image: np.ndarray
    label: int
    caption: str
    probs: Mapping[str, np.ndarray]


def write_report(
    path: str | Path,
    *,
    title: str,
    lead: str,
    table: Table,
    notes: Sequence[str],
    further: Sequence[tuple[Table, str]],
    accuracies: str | Path,
    curves: str | Path,
    class_names: Sequence[str],
    opinions: Sequence[Opinion],
    facts: Mapping[str, Any],
) -> None:
    """Writes the report.

    Args:
      path: the file to write.
      title: its heading.
      lead: a sentence or two on what was done and found.
      table: the results.
      notes: how the table is to be read.
      further: more tables, each with how it is to be read.
      accuracies: a PNG of the results, which is put into the file.
      curves: a PNG of the learning curves.
      class_names: in the order of the labels.
      opinions: images with the networks' probabilities side by side.
      facts: command, seeds, versions, hardware, config: whatever is needed to do it again.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("effjax.reports"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html").render(
        title=title,
        lead=lead,
        table=table,
        notes=notes,
        further=further,
        accuracies=_data_url(Path(accuracies).read_bytes()),
        curves=_data_url(Path(curves).read_bytes()),
        class_names=class_names,
        opinions=[_rendered(opinion) for opinion in opinions],
        facts=facts,
    )
    Path(path).write_text(page, encoding="utf-8")


def _rendered(opinion: Opinion) -> dict[str, Any]:
    image = opinion.image
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture = picture.resize((112, 112), Image.Resampling.NEAREST if image.shape[0] < 64 else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    shown = {"image": _data_url(buffer.getvalue()), "label": opinion.label, "caption": opinion.caption}
    return {**shown, "probs": dict(opinion.probs)}


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
