"""What the plots share: panels, colours, PNG bytes."""

import io
import textwrap

import matplotlib
import numpy as np

matplotlib.use("Agg")  # files only; no display is needed
import matplotlib.pyplot as plt


def grid(count: int, columns: int, width: float, height: float, **options):
    """Makes axes for ``count`` panels; those that are left over are not shown.

    Args:
      count: of the panels.
      columns: of panels.
      width: of a panel, in inches.
      height: of a panel, in inches.
      **options: for ``plt.subplots``, such as ``sharey``.

    Returns:
      The figure and a list of all its axes, the panels' first.
    """
    rows = -(-count // columns)
    size = (width * columns, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **options)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, list(axes.flat)


def beside_legend(height: float, lines: int) -> float:
    """The height in inches of panels with a legend of so many small lines beside them: as high as it, at least."""
    return max(height, 0.22 * lines)


def colours(count: int) -> list:
    """The usual ten, or as many as are needed along a colour map."""
    return [f"C{i}" for i in range(count)] if count <= 10 else list(plt.get_cmap("turbo")(np.linspace(0, 1, count)))


def wrapped(title: str, width: int) -> str:
    """A title on lines of so many characters at most, so that it does not run into the next panel's."""
    return "\n".join(textwrap.fill(line, width) for line in title.split("\n"))


def png(figure) -> bytes:
    """The figure as the bytes of a PNG file; it is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    return buffer.getvalue()
