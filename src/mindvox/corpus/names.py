"""Names of utterances: one spelling for each, however a list writes it.

A name is the path of a recording below the corpus's folder `wav/` (or below the corpus itself where it has none). Lists
are made by `find`, by other toolkits and on other systems, so one recording has many spellings. Compared as text,
these would be different utterances. Every reader of names therefore passes them through `Names`.

Two choices:

- Unicode: names are compared in form NFC. macOS writes decomposed letters (NFD) into file names, most other systems do
  not, and both look the same on the screen.
- A backslash separates folders, as in lists from Windows. A Linux file name may contain one, but lists from Windows
  and from Linux would then contradict each other; such a file is left out of the corpus with a message.

The C++ program follows the same rules except NFC, which needs Unicode's tables; tests/names_cases.json is tested on
both sides.
"""

import re
import unicodedata
from collections.abc import Iterable

from mindvox.errors import InputError

WAV_FOLDER = "wav"
_DRIVE = re.compile(r"[A-Za-z]:(?=/)")


class Names:
    """Turn the spellings of file names in one list into utterance names; use one object for each list.

    An unknown name may have other folders before it, such as `wav/`, `data/voxceleb1/wav/` or `/data/wav/`. They are
    removed if a known name remains, or if they end with a folder `wav` and at least two parts remain. They must be the
    same in the whole list, since `a/spk/u.wav`, `b/spk/u.wav` and `spk/u.wav` may be different recordings; only
    absolute paths and paths from a folder `wav` may be mixed with bare names.

    Args:
        known: names of the corpus or the store to which the list refers; empty: not known.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known: dict[str, str] = {}
        for name in known:
            other = self._known.setdefault(utterance_name(name), name)
            if other != name:
                raise InputError(f"{other!r} and {name!r} are two spellings of one utterance. Keep one of them.")
        self._found: dict[str, str] = {}
        self._head: tuple[str, ...] = ()
        self._bare = ""  # first name without folders before it
        self._relative = ""  # first name with folders before it that are not absolute and do not end with `wav`

    def __call__(self, text: str, where: str = "") -> str:
        """Return the name that `text` means.

        Args:
            where: file and line, for messages.

        Raises:
            InputError: `text` leads out of the corpus, is absolute and not a known recording, or has other folders
                before the name than earlier names of this list.
        """
        if text not in self._found:
            self._found[text] = self._find(text, where)
        return self._found[text]

    def knows(self, text: str) -> bool:
        """Return whether `text` means a known name, possibly with folders before it."""
        parts, _ = _parts(text, "")
        return any("/".join(parts[start:]) in self._known for start in range(len(parts)))

    def _find(self, text: str, where: str) -> str:
        parts, is_absolute = _parts(text, where)
        spelled = "/".join(parts)
        if not is_absolute and spelled in self._known:
            self._bare = self._bare or text
            self._check_mixture(where)
            return self._known[spelled]
        for start in range(0 if is_absolute else 1, len(parts)):
            tail = "/".join(parts[start:])
            if tail in self._known:
                if not is_absolute and parts[start - 1] != WAV_FOLDER:
                    self._relative = self._relative or text
                    self._check_mixture(where)
                self._check_head(parts[:start], text, where)
                return self._known[tail]
        start = _after_wav_folder(parts)
        if start:
            self._check_head(parts[:start], text, where)
        elif is_absolute:
            raise InputError(
                f"{_prefix(where)}{text!r} is an absolute path that leads to no known recording. "
                "Write the path below the corpus's folder wav, as <speaker>/<session>/<file>."
            )
        return "/".join(parts[start:])

    def _check_head(self, head: list[str], text: str, where: str) -> None:
        """Remember the folders before a name; raise InputError if they do not match those of earlier names."""
        backwards = tuple(reversed(head))
        shorter, longer = sorted((backwards, self._head), key=len)
        if longer[: len(shorter)] != shorter:
            raise InputError(
                f"{_prefix(where)}{text!r} has other folders before the utterance's name than an earlier line: "
                f"{'/'.join(head)}, not {'/'.join(reversed(self._head))}. Give one list for each corpus."
            )
        self._head = longer

    def _check_mixture(self, where: str) -> None:
        if self._bare and self._relative:
            raise InputError(
                f"{_prefix(where)}{self._bare!r} and {self._relative!r} are in one list: these may be different "
                "recordings. Write all paths below the same folder."
            )


def utterance_name(text: str, where: str = "") -> str:
    """Return a path without `.`, `..` and empty parts, with `/` between folders, in Unicode's form NFC.

    An absolute path becomes relative to its root. Raise InputError if the path leads out of its root or is empty.
    """
    return "/".join(_parts(text, where)[0])


def _parts(text: str, where: str) -> tuple[list[str], bool]:
    """Return the folders and the file of a path, and whether it is absolute."""
    path = unicodedata.normalize("NFC", text).replace("\\", "/")
    path = _DRIVE.sub("", path, count=1) if _DRIVE.match(path) else path
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and not parts:
            raise InputError(f"{_prefix(where)}{text!r} leads out of the corpus's folder. Write the path below it.")
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if not parts:
        raise InputError(f"{_prefix(where)}expected the name of an utterance, got {text!r}.")
    return parts, path.startswith("/")


def _after_wav_folder(parts: list[str]) -> int:
    """Return the index after the last folder `wav` that has a speaker and a file below it, else 0."""
    return max((place + 1 for place, part in enumerate(parts[:-2]) if part == WAV_FOLDER), default=0)


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""
