"""The flag --config: a file of Python that lays an experiment out. What goes wrong in it is said with its line."""

import importlib.util
import sys
import traceback
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from effjax import signals
from effjax.errors import UserError

flags.disclaim_key_flags()  # the flag is the launcher's

_LONGEST = 300  # characters of what Python says of an error


def define(help_string: str) -> flags.FlagHolder:
    """Defines --config and, with it, --config.key=value for each of its keys."""
    holder = config_flags.DEFINE_config_file("config", None, help_string, lock_config=True)
    flags.FLAGS["config"].parser = _Parser()
    return holder


def read(holder: flags.FlagHolder) -> dict[str, Any]:
    """The config that the flag names, as a plain mapping."""
    return holder.value.to_dict()


class _Parser(flags.ArgumentParser):
    """Loads ``file.py`` or ``file.py:variant``."""

    def parse(self, path: str) -> ml_collections.ConfigDict:
        """Runs the file and its ``get_config``.

        Raises:
          UserError: naming the file and, where it is to blame, the line.
        """
        file, *variant = path.split(":", 1)
        if not Path(file).is_file():
            what = "is a folder" if Path(file).is_dir() else "there is no such file"
            raise UserError(f"--config={path}: {what}; it names a Python file, file.py or file.py:variant")
        try:
            module = _run(file)
            if not callable(getattr(module, "get_config", None)):
                raise UserError(f"--config={path}: {file} has no function get_config()")
            config = module.get_config(*variant)
        except UserError as error:
            raise UserError(str(error) if "--config" in str(error) else f"--config={path}: {error}") from error
        except signals.Interrupted:
            raise
        except BaseException as error:  # whatever it raises, it is the config's
            raise UserError(f"--config={path}: {_told(error, file)}") from error
        if not isinstance(config, ml_collections.ConfigDict):
            raise UserError(
                f"--config={path}: get_config() returned {_kind(config)}, not a ConfigDict: let it start from "
                "effjax.recipes.schema.experiment(), and return that"
            )
        config.lock()
        return config


def _run(file: str) -> types.ModuleType:
    loader = SourceFileLoader("config_file", file)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec  # a loader of files has one
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # where classes that the file defines look for themselves
    loader.exec_module(module)
    return module


def _told(error: BaseException, file: str) -> str:
    """An error in one line, with the line of the config that is to blame."""
    said = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, SystemExit):
        said = "it ends the program (sys.exit), a config returns"
    elif isinstance(error, SyntaxError):
        where = f"{error.filename or file}" + (f", line {error.lineno}" if error.lineno else "")
        return f"{where}: {type(error).__name__}: {error.msg}"
    else:
        said = f"{type(error).__name__}: {said}" if said else type(error).__name__
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"line {lines[-1]}: {said}" if lines else said


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
