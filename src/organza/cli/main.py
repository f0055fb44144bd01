"""The command ``organza``: finds the verb, runs it, and turns what goes wrong into one line.

Nothing heavy is imported before the verb is known, so that help and typing errors are answered at once.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from organza import __version__
from organza.core import cores
from organza.core.errors import UserError

VERBS: dict[str, str] = {
    "demo": "the whole way in a few minutes: draw pictures, train on them, make a film",
    "train": "train a GAN on your pictures; the same command again goes on",
    "ladder": "train a paper's table of changes at a small budget and draw it: stylegan, stylegan2",
    "evaluate": "judge a network or pictures: FID, KID, precision and recall, path length ...",
    "compare": "put runs side by side: quality against images and time, speed, settings",
    "generate": "make pictures from seeds, one by one or in a grid",
    "interpolate": "make a seamless film from one seed to the next (.mp4, .gif, .webp)",
    "walk": "make a film of a random walk that ends where it began",
    "truncation": "draw seeds from truncated to full variety, with the average in the middle",
    "mix": "draw a table of seeds that take styles from other seeds",
    "noise": "draw what noise does to a picture",
    "project": "find the codes of pictures: what would a network draw them from?",
    "encoder": "train a network that guesses codes from pictures, for project to start from",
    "directions": "find directions in latent space: SeFa, GANSpace, labels, a classifier",
    "edit": "move pictures along directions: strips and films",
    "blend": "mix two networks layer by layer into a new one",
    "redo": "make a picture again from the JSON beside it",
    "inspect": "say what a file of weights is, without running anything of it",
    "convert": "write NVIDIA's or others' weights in Organza's layout, or ours in theirs",
    "presets": "list the presets, or show all settings of one",
    "dataset": "look at data sets, build, export, align and fetch them",
    "faces": "draw a data set of cartoon faces, to try things out without a download",
    "doctor": "check this machine: processor, memory, GPU, optional packages, speed",
}
"""What there is, with a line of help. A verb lives in `organza.cli.<verb>` as ``main(argv) -> exit code``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code: 0 well, 1 our mistake, 2 the user's, 130 interrupted.

    Args:
        argv: the words after ``organza``; None takes this process's.

    Example:
        >>> main(["--version"])
        organza ...
        0
    """
    if argv is None:  # this process is ours
        cores.share()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    offline = os.environ.get("ORGANZA_OFFLINE")
    try:
        code = _run(words)
        # Here rather than at exit, where a closed pipe can no longer be met quietly.
        sys.stdout.flush()
        return code
    except UserError as error:
        return _fail(f"{error}", 2, error if debug else None)
    except KeyboardInterrupt as error:
        return _fail("stopped", 130, error if debug else None)
    except BrokenPipeError:
        # Whoever read the output (head, less) has enough. Python's last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _fail(_unexpected(error), 1, error if debug else None)
    finally:  # a verb's --offline is for that verb
        if offline is None:
            os.environ.pop("ORGANZA_OFFLINE", None)
        else:
            os.environ["ORGANZA_OFFLINE"] = offline


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] in ("-V", "--version"):
        print(f"organza {__version__}")
        return 0
    verb, rest = words[0], words[1:]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.5)
        hint = f"did you mean `organza {near[0]}`?" if near else "`organza --help` lists what there is"
        raise UserError(f"there is no {verb!r}", hint=hint)
    return run_verb(verb, rest)


def run_verb(verb: str, rest: list[str]) -> int:
    """Run one of `VERBS` with the words after it."""
    code: int = importlib.import_module(f"organza.cli.{verb}").main(rest)
    return code


def usage() -> str:
    """The text of ``organza --help``."""
    lines = [f"  {verb:12} {line}" for verb, line in VERBS.items()]
    return "\n".join(
        [
            "usage: organza VERB [options]",
            "",
            "Train, run and explore generative adversarial networks.",
            "",
            *lines,
            "",
            "`organza VERB --help` explains a verb. `--version` says which Organza this is;",
            "`--debug`, anywhere, shows where an error came from; `--offline` never uses the network.",
        ]
    )


def _unexpected(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, MemoryError) or "out of memory" in text.lower() or "can't allocate memory" in text.lower():
        return f"not enough memory; use a smaller batch, smaller pictures or a smaller preset ({text[:200]})"
    return f"{text[:400]}; this should not happen: run it again with --debug and report what it prints"


def _fail(message: str, code: int, error: BaseException | None) -> int:
    if error is not None:
        import traceback

        traceback.print_exception(error)
    print(f"organza: {message}", file=sys.stderr)
    return code
