"""Numbers in JSON as Go writes them, where our own encoder writes them otherwise.

Owns: ``written``, for the bytes of objects that may hold fractions. Refuses: texts, which are the same.
Called where objects of custom kinds and their definitions are encoded; others have no such numbers.

Go uses an exponent below a millionth and from 10 to the 21st on, and no point in whole numbers.
"""

from __future__ import annotations

import re
from typing import Final

from tiphys.apimachinery.go_text import number

_OTHERWISE: Final = re.compile(rb"[:,\[]\s*-?[0-9][0-9.]*(?:e|(?<=\.0)[,}\]\s])")
"""What is perhaps such a number, or stands in a text."""
_WORDS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9.]+(?:e[-+]?[0-9]+|\.0(?![0-9]))')


def written(text: bytes) -> bytes:
    """Return JSON with its numbers as Go writes them: most often the very same bytes."""
    return text if _OTHERWISE.search(text) is None else _WORDS.sub(_word, text)


def _word(found: re.Match[bytes]) -> bytes:
    word = found[0]
    return word if word.startswith(b'"') else number(float(word)).encode()
