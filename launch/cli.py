"""What the launchers share: flags, logging, processes, and errors as one line."""

import logging
import os
import re
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging

from effjax import allocator, signals
from effjax.command import as_called_here
from effjax.errors import Mistakes, UserError, printable
from effjax.files import storage_message

from . import flag_values, supervisor


def _cache_folder() -> str:
    """Where programs compiled by this user lie; nowhere for a user without a home, as containers have."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return "" if base.startswith("~") else os.path.join(base, "effjax", "xla")


_COORDINATOR = flags.DEFINE_string("coordinator", "", "host:port of process 0, for a run of several processes")
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", 0, "how many processes the run has")
_PROCESS_ID = flags.DEFINE_integer("process_id", -1, "which of them this is, from 0")
_START_TIMEOUT = flags.DEFINE_float("start_timeout", 60.0, "seconds to wait for all processes to come", lower_bound=1.0)
_SILENT_TIMEOUT = flags.DEFINE_float(
    "silent_timeout", 30.0, "seconds after which a process that says nothing counts as gone", lower_bound=1.0
)
flag_values.finite("start_timeout")
flag_values.finite("silent_timeout")
_CACHE = flags.DEFINE_string(
    "compilation_cache",
    _cache_folder(),
    "where compiled programs are kept for the next process; empty keeps none",
)


def run(main: Callable[[], None], *, required: tuple[str, ...]) -> None:
    """Parses the flags and calls ``main``; exits with the codes that ``launch.train`` documents."""
    signals.install()
    allocator.keep_freed_memory()
    module = sys.modules["__main__"]  # whose docstring --help shows
    module.__doc__ = as_called_here(module.__doc__ or "")
    code = _run(main, required)
    signals.finish(code)
    # What did not end well may have left threads that the interpreter would wait for: of JAX, for the others of the
    # run, who may wait for this one; of Orbax, ten minutes for what a full disk has not taken; of XLA, whose
    # compilation crashes when its client is taken down.
    if code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(main: Callable[[], None], required: tuple[str, ...]) -> int:
    """Returns the exit code. What the user can mend is one line, whatever it was raised as."""

    def guarded(_: list[str]) -> int | None:
        import jax

        from effjax.runtime import hosts

        for name in required:
            if flags.FLAGS[name].value in (None, "", []):
                raise UserError(f"--{name} is missing; see --help")
        together = _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value
        seconds = _START_TIMEOUT.value, _SILENT_TIMEOUT.value
        if hosts.check_flags(*together):
            if not supervisor.is_watched():
                return supervisor.watch(*together, *seconds)
            supervisor.die_with_parent()
        allocator.run_programs_here()
        _talk()
        hosts.initialize(*together, *seconds)
        if _CACHE.value:
            jax.config.update("jax_compilation_cache_dir", _CACHE.value)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        signals.check()
        main()
        return None

    try:
        app.run(guarded, argv=sys.argv, flags_parser=_parse)
    except signals.Interrupted as stopped:
        print(f"{stopped}; run the same command to go on", file=sys.stderr)
        return signals.EXIT_INTERRUPTED
    except UserError as error:
        return _fail(*error.lines) if isinstance(error, Mistakes) else _fail(str(error))
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # of a file that nobody has found words for
        return _fail(storage_message(error))
    except MemoryError:
        return _fail("out of memory: use smaller batches or images, or a machine with more memory")
    except SystemExit as left:  # how absl ends
        return left.code if isinstance(left.code, int) else 0 if left.code is None else _fail(str(left.code))
    except Exception as error:
        if supervisor.is_watched() and supervisor.is_of_others(str(error)):  # a collective misses another process
            return _fail(" ".join(str(error).split())[:300])
        raise
    return 0


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags. What a config file or an override gets wrong is the user's to mend: no traceback."""
    try:
        rest = flags.FLAGS(argv, known_only=False)
    except flags.Error as error:
        if isinstance(error.__context__, UserError):  # which absl has put into words of its own
            raise error.__context__ from None
        raise UserError(" ".join(str(error).split())) from error
    except SystemExit:  # absl has shown the help, and would call that a failure
        sys.exit(0)
    except (AttributeError, KeyError) as error:
        raise UserError(_unknown_key(argv, error)) from error
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"--config: {' '.join(str(error).split())}") from error
    if len(rest) > 1:
        raise UserError(f"{rest[1]!r} is not a flag; see --help")
    return rest


def _unknown_key(argv: list[str], error: Exception) -> str:
    """Says which override names a key that the config does not have, and the nearest that it has."""
    message = str(error.args[0] if error.args else error)
    key = re.search(r'instead of "([^"]*)"', message) or re.search(r"'([^']*)'", message)
    given = [arg.partition("=")[0] for arg in argv if arg.startswith("--config.")]
    flag = next((name for name in given if key and name.endswith(f".{key[1]}")), "--config")
    close = re.search(r'Did you mean "([^"]*)"', message)
    return f"{flag}: the config has no such key" + (f" (did you mean {close[1]!r}?)" if close else f": {message}")


class _Lines(logging.Formatter):
    """Lines that a terminal only shows, whatever names are in them."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).split("\n")))


def _talk() -> None:
    """Lets effjax's own log through, and of the libraries only their warnings."""
    absl_logging.set_verbosity(absl_logging.WARNING)
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines("%(asctime)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("effjax")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)


def _fail(*messages: str) -> int:
    for message in messages:
        print(f"error: {printable(message)}", file=sys.stderr)
    return 1
