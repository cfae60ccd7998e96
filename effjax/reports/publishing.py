"""A table as a page of its own, for results/."""

import logging
from collections.abc import Sequence
from pathlib import Path

from effjax.files import write_text, write_whole

_log = logging.getLogger("effjax")

TABLE_FILE, REPORT_FILE = "table.md", "report.html"


def publish(path: str | Path, title: str, page: Sequence[str], plot: Path, shows: str) -> None:
    """Writes the table as a page of its own, its plot beside it.

    Args:
      path: the Markdown file.
      title: its heading.
      page: its parts; the plot comes after the first.
      plot: a PNG, which is copied.
      shows: what it shows, for those who do not see it.
    """
    path = Path(path)
    picture = path.with_suffix(".png")
    write_whole(picture, lambda file: file.write(plot.read_bytes()))
    write_text(path, "\n\n".join([f"# {title}", page[0], f"![{shows}]({picture.name})", *page[1:]]) + "\n")
    _log.info("wrote %s and %s", path, picture)
