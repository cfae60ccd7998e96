"""Images that a table lists with their classes, every file of which is read once first."""

import pathlib
from collections.abc import Sequence

import numpy as np

from effjax.data.file_source import FileSource
from effjax.data.folder_layout import PARTS, SHARES, WHOLE, usual_name
from effjax.data.listed_files import listed_files, split_of
from effjax.errors import UserError, nearest


class TableSource(FileSource):
    """One split of what a table lists. Global ids number its images in the order of the table."""

    def __init__(
        self,
        name: str,
        split: str,
        *,
        image_size: int | None = None,
        cache_dir: str | pathlib.Path | None = None,
        shares: Sequence[float] = SHARES,
    ):
        """Reads the table, and every image of the split once, in threads.

        Args:
          name: ``csv:/path`` or ``parquet:/path``, see :func:`effjax.data.listed_files.listed_files`.
          split: one that the table has; where it has none, one of the parts that its images are drawn into, ``train``,
            ``validation`` or ``test``, or ``all``.
          image_size: as in ``load``.
          cache_dir: where to remember which files have been read; None remembers nothing.
          shares: of the parts that a table without splits is drawn into.

        Raises:
          UserError: for an unknown split, a table that cannot be used, unreadable images, or sizes that differ without
            an ``image_size``; what is wrong is listed in one message.
        """
        found = listed_files(name)
        rows, part = split_of(found, split, name), None
        if rows is None:
            which, rows = usual_name(split), np.arange(len(found.paths))
            if which not in (*PARTS, WHOLE):
                raise UserError(
                    f"{name} has no split {split!r}: its images are divided by config.data.split; "
                    f"{nearest(split, (*PARTS, WHOLE))}"
                )
            part = None if which == WHOLE else (which, shares)
        super().__init__(
            found.root,
            [found.paths[row] for row in rows],
            found.labels[rows],
            found.classes,
            name=name,
            split=split,
            image_size=image_size,
            cache_dir=cache_dir,
            remembered=f"table_{'all' if part else usual_name(split)}",
            part=part,
        )
