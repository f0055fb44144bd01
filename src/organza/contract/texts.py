"""Text as numbers: the words of captions, and what a person may ask for in them.

A vocabulary is the words of a dataset's own captions. A network can't know others; so a text is told apart into words
that it knows, words that say nothing about an image (*a*, *with*), likely slips of the pen, and the rest.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from organza.contract.data import DataSpec
from organza.core.errors import UserError
from organza.core.messages import logger
from organza.core.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logger(__name__)

MOST_WORDS = 20_000
"""Of a vocabulary; rarer words of larger sets of captions are left out."""
LONGEST = 128
"""Words of a caption that are read."""
FILLERS = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "by", "for", "from", "has", "have", "her", "his", "in", "is", "it"),
        *("its", "of", "on", "or", "that", "the", "to", "with"),
    )
)
"""Words that may be missing from a vocabulary without a word about it."""


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    Example:
        >>> words_of("Blonde hair, don't-care 2nd")
        ['blonde', 'hair', "don't", 'care', '2nd']
    """
    return re.findall(r"[^\W_]+(?:['\u2019][^\W_]+)*", text.lower())


def vocabulary(captions: Iterable[str]) -> tuple[str, ...]:
    """Every word of the captions, sorted; the most frequent where there are too many.

    Example:
        >>> vocabulary(["blue hair", "Blue eyes"])
        ('blue', 'eyes', 'hair')
    """
    counts = Counter(word for caption in captions for word in words_of(caption))
    return tuple(sorted(word for word, _ in counts.most_common(MOST_WORDS)))


def captions_as_tokens(captions: Sequence[str], words: Sequence[str]) -> NDArray[np.int64]:
    """The captions of a dataset as tokens ``[N, longest]``: each word's place in ``words`` plus 1; 0 fills up.

    Example:
        >>> captions_as_tokens(["blue hair", "hair"], ["blue", "hair"]).tolist()
        [[1, 2], [2, 0]]
    """
    places = {word: place + 1 for place, word in enumerate(words)}
    rows = [[places[word] for word in words_of(caption) if word in places][:LONGEST] for caption in captions]
    return _filled(rows, max(map(len, rows), default=0))


def text_as_tokens(spec: DataSpec, texts: Sequence[str]) -> NDArray[np.int64]:
    """What a person asks for as tokens ``[N, spec.text_length]``; words that are left out are told.

    Args:
        spec: of the network.
        texts: one for each image or for each row of images.

    Raises:
        UserError: a text without a word that is known, with one that is nearly known, or one that is too long.

    Example:
        >>> spec = DataSpec((8, 8), words=("blonde", "hair", "pink"), text_length=2)
        >>> text_as_tokens(spec, ["with pink hair"]).tolist()
        [[3, 2]]
        >>> text_as_tokens(spec, ["blond hair"])
        Traceback (most recent call last):
        ...
        organza.core.errors.UserError: the word 'blond' is in none of the captions that this network learned from; ...
    """
    return _filled([_asked(spec, text) for text in texts], spec.text_length)


def _asked(spec: DataSpec, text: str) -> list[int]:
    said = words_of(text)
    if not said:
        raise UserError("the text is empty", hint='say what to show, such as "blonde hair blue eyes"')
    strange = [word for word in dict.fromkeys(said) if word not in spec.words and word not in FILLERS]
    for word in strange:
        if near := difflib.get_close_matches(word, spec.words, n=2, cutoff=0.75):
            what = f"the word {_shown(word)} is in none of the captions that this network learned from"
            raise UserError(what, hint=f"did you mean {' or '.join(near)}?")
    known = [spec.words.index(word) + 1 for word in said if word in spec.words]
    if not known:
        some = ", ".join(spec.words[:12]) + (" ..." if len(spec.words) > 12 else "")
        raise UserError(f"no word of {_shown(text)} is known to this network", hint=f"it knows {some}")
    if len(known) > spec.text_length:
        what = f"the text has {len(known)} known words"
        raise UserError(what, hint=f"the longest caption that this network learned from has {spec.text_length}")
    if strange:
        _tell(", ".join(strange[:8]))
    return known


@cache
def _tell(strange: str) -> None:
    """Once for the same words: a text is read anew for each batch of images."""
    log.warning(f"left out of the text, because no caption has it: {strange}")


def _shown(text: str) -> str:
    return repr(printable(text, 60))


def _filled(rows: Sequence[Sequence[int]], length: int) -> NDArray[np.int64]:
    found = np.zeros((len(rows), length), np.int64)
    for row, tokens in zip(found, rows, strict=True):
        row[: len(tokens)] = tokens
    return found
