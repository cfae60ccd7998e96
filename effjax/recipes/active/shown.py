"""What people see of an example: of a folder, the whole photo and its path; of a dataset, the image, enlarged."""

import functools
from collections.abc import Callable, Iterable
from typing import cast

import numpy as np

from effjax.data.base import Source, stored
from effjax.data.ledger import File
from effjax.data.unlabelled_folder import UnlabelledFolder
from effjax.errors import printable
from effjax.reports.numbered_sheet import enlarged, framed

#: The longer side of pictures that are handed to people, in pixels.
LEAST, MOST = 512, 1024


def path_of(source: Source, id_: int) -> str:
    """Where an example lies, to be read; empty for one of a dataset."""
    paths = getattr(source, "paths", None)
    return "" if paths is None else printable(paths[int(id_)])


def words_of(source: Source) -> Callable[[int], str]:
    """What is said of an example beside its picture, by global id: where it lies, or what is asked of it."""
    names = source.info.names.get("question")
    if names is None or "question" not in source.info.features:
        return functools.partial(path_of, source)
    rows = {int(id_): row for row, id_ in enumerate(source.ids())}
    questions = source.column("question")

    def question(id_: int) -> str:
        return printable(" ".join(names[token] for token in questions[rows[int(id_)]] if token))

    return question


def files_of(source: Source, ids: Iterable[int]) -> list[File] | None:
    """The files of examples of a folder, and what is in them; None where they are of no folder."""
    if isinstance(source, UnlabelledFolder):
        return source.files(ids)
    folder = stored(source)
    if not hasattr(folder, "digests"):
        return None
    return [File(folder.paths[id_], None, folder.digests[id_].decode()) for id_ in ids]


def is_photo(source: Source) -> bool:
    """Whether there is more to see than what a network sees."""
    return hasattr(source, "photo")


def size_of(source: Source, id_: int) -> tuple[int, int]:
    """(height, width) of a whole photo."""
    return cast(UnlabelledFolder, source).size_of(id_)


def photo_of(source: Source, id_: int, most: int = MOST, least: int = 0) -> np.ndarray:
    """A whole photo, with a frame around what a network sees of it.

    Args:
      source: a folder.
      id_: the example.
      most: its longer side has at most so many pixels.
      least: a small photo is enlarged to so many.

    Returns:
      uint8 ``[H, W, 3]``.
    """
    pixels, box = cast(UnlabelledFolder, source).photo(int(id_), most)
    shown = enlarged(pixels, least) if least else pixels
    return framed(shown, [side * len(shown) / len(pixels) for side in box])
