"""What all HTML pages and tables in results/ share: what a report says on top and below, and images put into a file."""

import base64
import dataclasses
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from effjax.files import write_text, write_whole
from effjax.reports.contact_sheet import fitted, picture
from effjax.reports.tables import Table

_log = logging.getLogger("effjax")

TABLE_FILE, REPORT_FILE = "table.md", "report.html"


@dataclasses.dataclass(frozen=True)
class Page:
    """A report, whatever it is of: one self-contained HTML file, and a Markdown file with its tables.

    Attributes:
      title: its heading.
      lead: a sentence or two on what was done and found.
      facts: command, versions, hardware: whatever is needed to do it again.
      table: the results; None where the page has but tables of its own.
      notes: how the table is to be read.
      further: more tables, each with how it is to be read.
      config: the experiment's, plain.
    """

    title: str
    lead: str
    facts: Mapping[str, Any]
    table: Table | None = None
    notes: Sequence[str] = ()
    further: Sequence[tuple[Table, str]] = ()
    config: Mapping[str, Any] | None = None

    def write(self, path: str | Path, template: str, **values: Any) -> None:
        """Writes the HTML file from a template of this package; what is put into it is escaped.

        Args:
          path: the file to write.
          template: its name.
          **values: what the template names besides ``page`` and ``facts``, all of it.

        Raises:
          jinja2.UndefinedError: if the template names anything else.
        """
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("effjax.reports"), autoescape=True, undefined=jinja2.StrictUndefined
        )
        facts = dict(self.facts)
        if self.config is not None:
            facts["config"] = yaml.safe_dump(_readable(self.config), sort_keys=False, width=110)
        write_text(path, environment.get_template(template).render(page=self, facts=facts, **values))
        _log.info("the report: %s", path)

    def publish(self, folder: Path, plot: Path, shows: str, results: str | Path | None) -> None:
        """Prints the results, and writes all tables into the experiment's folder and as a page for ``results/``.

        Args:
          folder: the experiment's.
          plot: a PNG, which is copied beside the page.
          shows: what it shows, for those who do not see it.
          results: the Markdown file of the page; None or empty for none.
        """
        assert self.table is not None  # a page with none has nothing to publish
        first, *rest = self._paragraphs(self.table)
        write_text(folder / TABLE_FILE, "\n\n".join([first, *rest]) + "\n")
        print(self.table.text())
        if not results:
            return
        path, beside = Path(results), Path(results).with_suffix(".png")
        write_whole(beside, lambda file: file.write(plot.read_bytes()))
        write_text(path, "\n\n".join([f"# {self.title}", first, f"![{shows}]({beside.name})", *rest]) + "\n")
        _log.info("wrote %s and %s", path, beside)

    def _paragraphs(self, main: Table) -> list[str]:
        further = (part for table, note in self.further for part in (table.markdown(), note))
        return [main.markdown(), *further, *self.notes, *(f"{name}: {x}" for name, x in self.facts.items())]


def data_url(png: bytes) -> str:
    """The bytes of a PNG file as the ``src`` of an image, so that nothing is loaded from elsewhere."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def thumbnail(pixels: np.ndarray, side: int) -> str:
    """An image as a data URL, made smaller if it is larger than a square; the page enlarges what is smaller.

    Args:
      pixels: uint8 ``[H, W, 1 or 3]``.
      side: of the square, in pixels.
    """
    image = picture(pixels)
    buffer = io.BytesIO()
    (fitted(image, side) if max(image.size) > side else image).save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue())


def _readable(value: Any) -> Any:
    """As YAML shows it best: tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _readable(item) for key, item in value.items()}
    return [_readable(item) for item in value] if isinstance(value, list | tuple) else value
