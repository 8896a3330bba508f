"""Addresses of mail, read as Go's library reads them: a bare one, one after a name, a group of one.

Pure. Called where a format or a certificate says that a text is one.

Source: RFC 5322 with RFC 6532, as ``net/mail.ParseAddress`` has them.
"""

from __future__ import annotations

_SPECIAL = frozenset('()<>[]:;@\\,"')
_BLANK = " \t"


class _Misread(ValueError):
    """The text goes on otherwise than an address does."""


def is_address(text: str) -> bool:
    """Tell whether a text is one address of mail."""
    try:
        return _Reader(text).alone()
    except _Misread:
        return False


def _visible(letter: str) -> bool:
    return "!" <= letter <= "~" or letter >= "\x80"


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def alone(self) -> bool:
        """Tell whether there is one address and nothing else. Raises _Misread."""
        count = self._address(groups=True)
        self._comments()
        return count == 1 and self._at == len(self._text)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, letter: str) -> bool:
        taken = self._peek() == letter
        self._at += taken
        return taken

    def _blanks(self) -> None:
        while self._peek() and self._peek() in _BLANK:
            self._at += 1

    def _address(self, *, groups: bool) -> int:
        """Read past an address, or a group; return how many addresses there were."""
        self._blanks()
        begin = self._at
        try:
            self._bare()
        except _Misread:
            self._at = begin
        else:
            self._blanks()
            if self._peek() == "(":
                self._comment()
            return 1
        if self._peek() != "<":
            self._phrase()
        self._blanks()
        if groups and self._take(":"):
            return self._group()
        if not self._take("<"):
            raise _Misread
        self._bare()
        if not self._take(">"):
            raise _Misread
        return 1

    def _bare(self) -> None:
        """A part before the sign, and a domain after it."""
        self._blanks()
        if self._peek() == '"':
            if not self._quoted():
                raise _Misread
        else:
            self._atom()
        if not self._take("@"):
            raise _Misread
        self._blanks()
        if self._peek() == "[":
            self._literal()
        else:
            self._atom()

    def _atom(self, *, any_dots: bool = False) -> None:
        begin = self._at
        while (letter := self._peek()) and _visible(letter) and letter not in _SPECIAL:
            self._at += 1
        atom = self._text[begin : self._at]
        if not atom or (not any_dots and (atom[0] == "." or atom[-1] == "." or ".." in atom)):
            raise _Misread

    def _quoted(self) -> str:
        self._at += 1
        found = ""
        while (letter := self._peek()) != '"':
            if letter == "\\":
                self._at += 1
                letter = self._peek()
            if not letter or not (_visible(letter) or letter in _BLANK):
                raise _Misread
            found += letter
            self._at += 1
        self._at += 1
        return found

    def _literal(self) -> None:
        self._at += 1
        self._blanks()
        while (letter := self._peek()) != "]":
            if not letter or not _visible(letter) or letter in "[\\":
                raise _Misread
            self._at += 1
            self._blanks()
        self._at += 1

    def _phrase(self) -> None:
        """The name before an address: words, with comments between them."""
        words = 0
        while True:
            if words:
                self._comments()
            self._blanks()
            begin = self._at
            try:
                if self._peek() == '"':
                    self._quoted()
                else:
                    self._atom(any_dots=True)
            except _Misread:
                self._at = begin
                if not words:
                    raise
                return
            words += 1

    def _group(self) -> int:
        self._blanks()
        count = 0
        while not self._take(";"):
            if count and not self._take(","):
                raise _Misread
            count += self._address(groups=False)
            self._comments()
        self._comments()
        return count

    def _comments(self) -> None:
        self._blanks()
        while self._peek() == "(":
            self._comment()
            self._blanks()

    def _comment(self) -> None:
        self._at += 1
        depth = 1
        while depth:
            letter = self._peek()
            if not letter:
                raise _Misread
            if letter == "\\" and self._at + 1 < len(self._text):
                self._at += 1
            elif letter in "()":
                depth += 1 if letter == "(" else -1
            self._at += 1
