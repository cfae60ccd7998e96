"""What the HTML pages share: templates, and images that are put into the file."""

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from effjax.files import write_text
from effjax.reports.contact_sheet import fitted, picture


def write_page(path: str | Path, template: str, **values: Any) -> None:
    """Fills a template of this package; what is put into it is escaped.

    Args:
      path: the file to write.
      template: its name.
      **values: what the template names, all of it.

    Raises:
      jinja2.UndefinedError: if the template names anything else.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("effjax.reports"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    write_text(path, environment.get_template(template).render(**values))


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
