"""The page on files: what they cost, what they know, and what became of them beside their controls."""

from pathlib import Path

from effjax.reports.pages import Page, data_url


def write_report(path: str | Path, page: Page, *, tradeoffs: str | Path) -> None:
    """Writes the report.

    Args:
      path: the file to write.
      page: what it says of any experiment.
      tradeoffs: a PNG of accuracy against costs, which is put into the file.
    """
    page.write(path, "compress.html", tradeoffs=data_url(Path(tradeoffs).read_bytes()))
