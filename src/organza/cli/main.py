"""The command ``organza``: finds the verb, runs it, and turns what goes wrong into one line.

Nothing heavy is imported before the verb is known, so that help and typing errors are answered at once.
"""

from __future__ import annotations

import difflib
import gc
import os
import sys
from collections.abc import Sequence

from organza.cli.verbs import VERBS, module
from organza.core import cores
from organza.core.channel import channel
from organza.core.errors import UserError
from organza.core.messages import shown
from organza.core.text import say
from organza.core.version import __version__

WITHOUT_PYTORCH = frozenset({"dataset", "faces", "zoo"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code: 0 well, 1 our mistake, 2 the user's, 130 interrupted.

    Args:
        argv: the words after ``organza``; None takes this process's, and its streams.

    Example:
        >>> main(["--version"])
        organza ...
        0
    """
    if argv is None:  # this process is ours
        cores.share()
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        _open_streams()
        if not WITHOUT_PYTORCH.intersection(words[:1]):
            _collect_later()
    debug, offline = ("--debug" in words), ("--offline" in words)
    words = [word for word in words if word not in ("--debug", "--offline")]
    before = os.environ.get("ORGANZA_OFFLINE")
    if offline:
        os.environ["ORGANZA_OFFLINE"] = "1"
    listener = channel() if argv is None else None  # a command within a command is part of it
    if listener is not None:
        listener.begun()
    try:
        code = _guarded(words, debug)
        if listener is not None:
            listener.ended(*code)
        return code[0]
    finally:  # --offline is for this one command
        if before is None:
            os.environ.pop("ORGANZA_OFFLINE", None)
        else:
            os.environ["ORGANZA_OFFLINE"] = before
        if argv is None:
            gc.freeze()  # at exit all objects would be walked once more


def _guarded(words: list[str], debug: bool) -> tuple[int, str | None]:
    """The exit code, and what was wrong in one line."""
    try:
        with shown():
            try:
                return _run(words), None
            finally:
                _flush()
    except UserError as error:
        return _fail(f"{error}", 2, error if debug else None)
    except KeyboardInterrupt as error:
        return _fail("stopped", 130, error if debug else None)
    except BrokenPipeError:  # whoever read the output (head, less) has enough
        _drop_output()
        return 0, None
    except OSError as error:
        return _fail(_of_the_system(error), 2, error if debug else None)
    except UnicodeEncodeError as error:  # of a path, for a library that takes only UTF-8
        hint = "rename it, or set LC_ALL=C.UTF-8 where the locale knows no such letters"
        return _fail(f"{error.object}: this name is not UTF-8; {hint}", 2, error if debug else None)
    except Exception as error:
        return _fail(_unexpected(error), 1, error if debug else None)


def _collect_later() -> None:
    """Collect no garbage while the first 120,000 objects come: PyTorch makes more on import, and each would be walked.

    At what would be the first collection they are set aside for good, and things are as usual.
    """
    usual = gc.get_threshold()

    def settle(phase: str, info: dict[str, int]) -> None:
        gc.callbacks.remove(settle)
        gc.set_threshold(*usual)
        gc.freeze()

    gc.callbacks.append(settle)
    gc.set_threshold(120_000)


def _open_streams() -> None:
    """What an encoding lacks is written as an escape, and a closed stream leads nowhere.

    Only for the command: a host program's streams are its own.
    """
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Write out what was printed: here rather than at exit, where a closed pipe can no longer be met quietly."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
        raise


def _drop_output() -> None:
    """Lead standard output nowhere: Python writes to it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if not words or words[0] in ("-h", "--help"):
        say(*usage().splitlines())
        return 0
    if words[0] in ("-V", "--version"):
        say(f"organza {__version__}")
        return 0
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.5)
        hint = f"did you mean `organza {near[0]}`?" if near else "`organza --help` lists what there is"
        raise UserError(f"there is no {verb!r}", hint=hint)
    return run_verb(verb, rest)


def run_verb(verb: str, rest: list[str]) -> int:
    """Run one of `VERBS` with the words after it."""
    code: int = module(verb).main(rest)
    return code


def usage() -> str:
    """The text of ``organza --help``."""
    lines = [f"  {verb:12} {about.help}" for verb, about in VERBS.items()]
    return "\n".join(
        [
            "usage: organza VERB [options]",
            "",
            "Train, run and explore generative adversarial networks.",
            "",
            *lines,
            "",
            "`organza VERB --help` or `organza help VERB` explains a verb. `--version` says which Organza",
            "this is. Anywhere: `--debug` shows where an error came from, `--offline` never uses the network.",
        ]
    )


def _of_the_system(error: OSError) -> str:
    """What the system refused, as it says it: a full disk, a missing permission, a name that is too long."""
    what = error.strerror or str(error) or type(error).__name__
    return what if error.filename is None else f"{os.fsdecode(error.filename)}: {what[:1].lower()}{what[1:]}"


def _unexpected(error: Exception) -> str:
    text = " ".join(f"{error}".split())[:400]
    known = f"{type(error).__name__}: {text}" if text else type(error).__name__
    signs = ("out of memory", "not enough memory", "allocate memory", "unable to allocate")
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in signs):
        said = f" ({text[:200]})" if text else ""
        return f"not enough memory; take fewer or smaller images at a time, or a smaller network{said}"
    return f"{known}; this should not happen: run it again with --debug and report what it prints"


def _fail(message: str, code: int, error: BaseException | None) -> tuple[int, str]:
    if error is not None:
        import traceback

        say(*"".join(traceback.format_exception(error)).splitlines(), error=True)
    say(f"organza: {message}", error=True)
    return code, message
