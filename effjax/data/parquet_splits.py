"""How parquet files are divided into splits on the Hugging Face hub, as ``train-00000-of-00005.parquet``."""

import pathlib
import re
from collections.abc import Sequence

from effjax.data.folder_layout import PARTS, usual_name
from effjax.data.image_files import is_junk, named
from effjax.errors import UserError
from effjax.files import home_expanded

# The library writes some of the content's hash at the end, or did.
_SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d{5,})-of-(?P<count>\d{5,})(-[0-9a-f]+)?")


def parquet_splits(root: str | pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The parquet files of each split, in order; under ``""`` where nothing divides them.

    A file says its split itself, ``train-00000-of-00005.parquet`` or ``test.parquet``, or its folder does,
    ``train/0000.parquet``. They lie in a folder at any depth; what is hidden, such as a download's notes, is not looked
    at. A file that is named alone is taken alone.

    Args:
      root: the folder, or one file.

    Returns:
      By split, its files; empty if there are none.

    Raises:
      UserError: if shards are missing, a split lies in several folders (as where a dataset has several
        configurations), or some files are of no split.
    """
    root = home_expanded(root).absolute()
    if root.is_file():
        return {"": [root]} if root.suffix == ".parquet" else {}
    splits: dict[str, dict[pathlib.Path, list[pathlib.Path]]] = {}
    for path in _below(root):
        split, folder = _place(path, root)
        splits.setdefault(split, {}).setdefault(folder, []).append(path)
    if len(splits) == 1 and not {*splits} & {*PARTS}:  # called by what is in them: data-00000-of-00002.parquet
        splits = {"": next(iter(splits.values()))}
    if "" in splits and len(splits) > 1:
        stray = next(iter(splits[""].values()))[0].relative_to(root)
        raise UserError(
            f"hf:{root}: beside {', '.join(sorted(split for split in splits if split))} there are files of no split: "
            f"{stray}; call it by its split, or put it elsewhere"
        )
    return {split: _whole(split, folders, root) for split, folders in splits.items()}


def _below(root: pathlib.Path) -> list[pathlib.Path]:
    found = root.rglob("*.parquet") if root.is_dir() else ()
    return sorted(path for path in found if path.is_file() and not any(map(is_junk, path.relative_to(root).parts)))


def _place(path: pathlib.Path, root: pathlib.Path) -> tuple[str, pathlib.Path]:
    """The split of a file, and the folder that this split lies in."""
    shard = _SHARD.fullmatch(path.stem)
    own = usual_name(shard["split"] if shard else path.stem.rstrip("0123456789").rstrip("-_."))
    if own in PARTS:
        return own, path.parent
    if path.parent != root and (above := usual_name(path.parent.name)) in PARTS:
        return above, path.parent.parent
    return own if shard else "", path.parent


def _whole(split: str, folders: dict[pathlib.Path, list[pathlib.Path]], root: pathlib.Path) -> list[pathlib.Path]:
    """The files of a split.

    Raises:
      UserError: if they are not all there, or there are others.
    """
    if len(folders) > 1:
        raise UserError(
            f"hf:{root}: {split or 'images'} in several folders: {named([str(f.relative_to(root)) for f in folders])}; "
            f"name one of them, as hf:{next(iter(folders))}"
        )
    ((folder, files),) = folders.items()
    shards = [match for path in files if (match := _SHARD.fullmatch(path.stem))]
    if not shards:
        return files
    what, count = f"hf:{folder}: {split or shards[0]['split']}", shards[0]["count"]
    if len(shards) < len(files) or len({shard["count"] for shard in shards}) > 1:
        raise UserError(f"{what} is there in several forms: {_names(files)}; remove those that are not of it")
    there = [int(shard["number"]) for shard in shards]
    if missing := sorted({*range(int(count))} - {*there}):
        names = [f"{shards[0]['split']}-{number:0{len(count)}}-of-{count}.parquet" for number in missing]
        raise UserError(f"{what} lacks {len(missing)} of its {int(count)} shards: {named(names)}; fetch them")
    if len(there) > int(count):
        raise UserError(f"{what} has {len(there)} shards of {int(count)}: {_names(files)}; remove what is not of it")
    return files


def _names(files: Sequence[pathlib.Path]) -> str:
    return named([path.name for path in files])
