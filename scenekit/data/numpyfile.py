"""NumPy's files from outside: what reading a damaged one raises, and what it warns of."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from tokenize import TokenError

# A header is parsed as Python's source, and says how much to allocate. Python 3.12's tokenizer ends in a SystemError
# where others raise TokenError.
DAMAGED_ARRAY = (
    OSError,
    ValueError,
    OverflowError,
    EOFError,
    SyntaxError,
    TypeError,
    MemoryError,
    TokenError,
    SystemError,
)
DAMAGED_ARRAYS = (*DAMAGED_ARRAY, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


@contextmanager
def of_any_age() -> Iterator[None]:
    """A header that Python 2 wrote, or one damaged so that it looks like it, is read without a word about its age.

    Nor about a type by an old name: what reads numbers refuses it for what it is.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Reading `.npy` or `.npz` file", category=UserWarning)
        warnings.filterwarnings("ignore", message="Data type alias", category=DeprecationWarning)
        yield
