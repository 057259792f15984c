"""What the spellings of names stand for, written without a look at src/mindvox/corpus/names.py."""

import posixpath
import unicodedata


def plain_names(spellings, known):
    """Return what the spellings of one list stand for, or None when the list is wrong."""
    names, heads, bare, relative = [], set(), False, False
    for spelling in spellings:
        text = unicodedata.normalize("NFC", spelling).replace("\\", "/")
        path = posixpath.normpath(text.lstrip("/") or ".")
        is_absolute = text.startswith("/")
        if path == "." or path.split("/")[0] == "..":
            return None
        ends = [name for name in known if f"/{path}".endswith(f"/{name}")]
        name = max(ends, key=len, default=path)
        head = path[: len(path) - len(name)].strip("/")
        if is_absolute and not ends:
            return None
        bare |= bool(ends) and not head and not is_absolute
        relative |= bool(head) and not is_absolute
        heads |= {f"/{head}"} - {"/"}
        names.append(name)
    longest = max(heads, key=len, default="")
    return names if all(longest.endswith(head) for head in heads) and not (bare and relative) else None
