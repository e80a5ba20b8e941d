"""Everything that can go wrong for a reason the user can mend.

GeofixError
├── UsageError       a flag, an argument or a combination of them
├── PhotoError       one photo cannot be used; the rest of its batch goes on
├── DataError        a folder or a table is not what was expected
├── RecipeError      an unknown recipe, key or value
├── WeightsError     weights that are missing, foreign or cannot be reached
├── AtlasError       an atlas that is torn, foreign, from the future or of another encoder
├── ProtocolError    results that must not be compared
├── TrainingError    a training that cannot go on, or cannot start on these data
├── StorageError     the disk is full or may not be written
└── MissingExtraError  an optional part that is not installed

Every message is one sentence: what was found, what was expected, what to do. Asserts are for our own
mistakes, never for the user's.
"""

import difflib
import errno
from collections.abc import Iterable, Sequence


class GeofixError(Exception):
    """The root; its text is shown to people as it is."""


class UsageError(GeofixError):
    """A flag, an argument or a combination of them makes no sense."""


class PhotoError(GeofixError):
    """One photo cannot be used. Verbs that work on many name it and go on."""


class DataError(GeofixError):
    """A folder or a table is not what was expected."""


class RecipeError(GeofixError):
    """An unknown recipe, key or value."""


class WeightsError(GeofixError):
    """Weights are missing, belong to another network or cannot be reached."""


class AtlasError(GeofixError):
    """An atlas is torn, foreign, written by a newer version or by another encoder."""


class ProtocolError(GeofixError):
    """Two results were measured differently and must not be compared."""


class TrainingError(GeofixError):
    """A training cannot start on these data, or cannot go on."""


class StorageError(GeofixError):
    """The disk is full or may not be written."""


class MissingExtraError(GeofixError):
    """An optional part is not installed; the message holds the line that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional part that is not installed: pip install 'geofix[{extra}]'.")


def first_few(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The sentence for a name that is none of a few known ones; names the nearest and all of them."""
    names = list(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
    return UsageError(f"There is no {kind} {name!r}; did you mean {nearest!r}? Known are: {', '.join(names)}.")


def storage_error(error: OSError, path: object) -> StorageError:
    """The sentence for an operating-system error met while writing `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"The disk is full: {path} could not be written; free some space and run the same command again."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(
            f"{path} may not be written ({error.strerror}); choose another folder or change its permissions."
        )
    return StorageError(f"{path} could not be written: {error.strerror or error}.")
