"""Folding of texts to the words that the search index contains, and the places of found words in a text.

Folding follows the primary level of the Unicode collation algorithm, as ICU does: case, width, accents, Hebrew and Arabic vowel
signs and presentation forms do not matter. `docs/reference/search.md` has a table of what is found, which a test runs.

FTS5 separates words at spaces and punctuation. Here spaces are put around each character that is a word of its own: a symbol,
an emoji, a circled or raised digit, and each character of a script without spaces. So a query, which is a phrase of such words,
finds any run of them. `fooBarBaz` is three words, and one.

Invariant: a text has the same words for as long as RULES is the same. The index of a store with other rules is made again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

__all__ = ["RULES", "Place", "alternatives", "find_words", "folded", "has_words", "tokens"]

RULES: Final = f"1/{unicodedata.unidata_version}"  # raise the first number with every change of the folding
_BARRIER = "\ue000"  # between the words of a text and its joined words, so that no phrase reaches across
# scripts whose words are not separated by spaces; every character is a word of the index
_ALONE: Final = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f"  # Thai to Balinese, jamo
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u30ff\u3105-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua9ff\uaa60-\uaadf\uac00-\ud7a3\ud7b0-\ud7ff\uf900-\ufaff"
    "\U00012000-\U0001254f\U00013000-\U0001345f\U00016f00-\U00018dff\U0001b000-\U0001b2ff\U00020000-\U0003ffff]"
)
_KEPT: Final = re.compile("[йЙ\u3131-\u318e\uac00-\ud7a3]")  # й is a letter, not an и with a mark; jamo and Hangul syllables
_LETTERS: Final = str.maketrans(  # letters whose mark is no character of its own, as in the default collation table
    {"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ŧ": "t", "ƀ": "b", "ɨ": "i", "ı": "i", "æ": "ae", "œ": "oe"}
    | {"ـ": "", "ʻ": " ", "ʼ": " ", "ʹ": " "}  # the Arabic line; apostrophes that count as letters
    | {chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)}  # katakana to hiragana
)
_KEYCAP: Final = re.compile("([0-9#*])\ufe0f?\u20e3")
_HALF_WIDTH_MARKS: Final = re.compile("[\uff9e\uff9f]")
_FOLLOWING: Final = re.compile("[\ufe00-\ufe0f\u20e3\uff9e\uff9f]")  # marks that are not called so
_RAISED: Final = re.compile("[\u00b2\u00b3\u00b9\u2070-\u2079\u2080-\u2089]")  # digits that may belong to the word: m², H₂O
_CAMEL: Final = re.compile("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HAS_CAMEL: Final = re.compile("[a-z][A-Z]|[A-Z][A-Z][a-z]")
_TOKEN: Final = re.compile(r"[^\W_]+|[^\w\s]")
_CACHED = 20_000  # characters; a program meets a few thousand


class _Folds(dict[int, str]):
    """Replacement of each character, made at its first use."""

    def __init__(self, *, apart: bool) -> None:
        self._apart = apart

    def __missing__(self, code: int) -> str:
        if len(self) >= _CACHED:
            self.clear()
        made = self[code] = _fold_character(chr(code), self._apart)
        return made


def _fold_character(char: str, apart: bool) -> str:
    kind = unicodedata.category(char)
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    if kind == "Co" or char == "\u200b":  # the index has its own characters in the private use area; a space of no width
        return " "
    if kind in ("Cf", "Cs", "Me") or "\ufe00" <= char <= "\ufe0f" or "\U0001f3fb" <= char <= "\U0001f3ff":
        return ""  # joiners, directions, soft hyphens, variants and colours of emoji
    text = char
    if not _KEPT.match(char):
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
        text = "".join(part for part in text if not _is_ignored(part))
        text = unicodedata.normalize("NFC", text).translate(_LETTERS)
    text = _ALONE.sub(r" \g<0> ", text.casefold())
    return f" {text} " if kind == "So" or (kind == "No" and apart) else text


def _is_ignored(mark: str) -> bool:
    """Return True for a mark that the primary level of collation ignores.

    Vowel signs of Indic scripts have class 0 and are letters. Tones of Thai and Lao (107, 122) are kept, against the collation:
    they make different words, and nobody leaves them out.
    """
    order = unicodedata.combining(mark)
    return order in (1, 7) or 10 <= order <= 36 or order >= 200


_APART, _JOINED = _Folds(apart=True), _Folds(apart=False)


def folded(text: str) -> str:
    """Return the words of a text, for FTS5 to separate: all of them, then the words that are also joined ones."""
    split, joined = _fold(text)
    return f"{split} {_BARRIER} {joined}" if joined else split


def alternatives(word: str) -> tuple[str, ...]:
    """Return the phrases of which a text must have one to match a word of a query."""
    split, joined = _fold(word)
    return (split, joined) if joined else (split,)


def tokens(folded_text: str) -> list[str]:
    """Return the words of a folded text, for an index that does not separate them itself."""
    return [part for part in _TOKEN.findall(folded_text.lower()) if has_words(part)]


def has_words(text: str) -> bool:
    """Return True if a text has anything that can be searched for."""
    return any(unicodedata.category(char)[0] in "LN" or unicodedata.category(char) == "So" for char in _fold(text)[0])


def _normalized(text: str) -> str:
    text = unicodedata.normalize("NFKC" if _HALF_WIDTH_MARKS.search(text) else "NFC", text)
    return _KEYCAP.sub(r" \1 ", text) if "\u20e3" in text else text


def _fold(text: str) -> tuple[str, str]:
    """Return the words, and the chunks that were separated, joined: fooBar as foo bar and foobar, H₂O as h 2 o and h2o."""
    if text.isascii():
        if text[1:].islower() or not _HAS_CAMEL.search(text):
            return text, ""
        split = _CAMEL.sub(" ", text)
        return split, " ".join(chunk for chunk in text.split() if _HAS_CAMEL.search(chunk))
    text = _normalized(text)
    split, joined = text, ""
    if text.lower() != text or _RAISED.search(text):
        chunks = text.split()
        parts = [_split_camel(chunk) for chunk in chunks]
        split = " ".join(parts)
        together = (chunk for chunk, part in zip(chunks, parts, strict=True) if part != chunk or _RAISED.search(chunk))
        joined = " ".join(together).translate(_JOINED)
    return split.translate(_APART), joined


def _split_camel(chunk: str) -> str:
    """Separate the words of a chunk like fooBarBaz or HTTPServer, in any script with case."""
    if chunk.isascii():
        return _CAMEL.sub(" ", chunk)
    if chunk[1:].islower():
        return chunk
    parts, begin = list[str](), 0
    for at in range(1, len(chunk)):
        if _begins_word(chunk, at):
            parts.append(chunk[begin:at])
            begin = at
    return " ".join((*parts, chunk[begin:]))


class Place(NamedTuple):
    """Range of characters of a text: `text[begin:end]`."""

    begin: int
    end: int


def find_words(text: str, words: Sequence[str]) -> list[Place]:
    """Return the places of a query's words in a text, in order; `begin*` is found at the beginning of words."""
    pattern = _pattern(words)
    if pattern is None:
        return []
    places = {place for split in (True, False) for place in _matches(text, pattern, split=split)}
    found: list[Place] = []
    for place in sorted(places, key=lambda place: (place.begin, -place.end)):
        if not found or place.begin >= found[-1].end:
            found.append(place)
    return found


def _matches(text: str, pattern: re.Pattern[str], *, split: bool) -> Iterator[Place]:
    """Yield the matches in the split or the joined words of a text, as places of the text."""
    pieces, origins = list[str](), list[Place]()
    for place in _units(text):
        piece = _normalized(text[place.begin : place.end]).translate(_APART if split else _JOINED)
        if split and _begins_word(text, place.begin):
            piece = f" {piece}"
        pieces.append(piece)
        origins += [place] * len(piece)
    for match in pattern.finditer("".join(pieces)):
        yield Place(origins[match.start()].begin, origins[match.end() - 1].end)


def _units(text: str) -> Iterator[Place]:
    """Yield each character of a text with the marks that follow it."""
    begin = 0
    for at in range(1, len(text) + 1):
        if at == len(text) or not (text[at] > "\x7f" and (unicodedata.combining(text[at]) or _FOLLOWING.match(text[at]))):
            yield Place(begin, at)
            begin = at


def _begins_word(text: str, at: int) -> bool:
    """Return True for the B of fooBar, and the S of HTTPServer."""
    if at == 0 or not text[at].isupper():
        return False
    return text[at - 1].islower() or (text[at - 1].isupper() and text[at + 1 : at + 2].islower())


def _pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    """Return the pattern of these words in a folded text; spaces of a text do not separate the words of a phrase."""
    patterns: set[str] = set()
    for word in words:
        begins = word.endswith("*") and word.strip("*") != ""
        for phrase in alternatives(word.rstrip("*") if begins else word):
            parts = tokens(phrase)
            if parts:
                end = "" if begins else r"(?![^\W_])"
                patterns.add(r"(?<![^\W_])" + r"[\W_]*".join(map(re.escape, parts)) + end)
    return re.compile("|".join(sorted(patterns, key=len, reverse=True))) if patterns else None
