"""NumPy's files from outside: what reading a damaged one raises."""

from __future__ import annotations

import zipfile
import zlib
from tokenize import TokenError

# A header is parsed as Python's source, and says how much to allocate.
DAMAGED_ARRAY = (OSError, ValueError, EOFError, SyntaxError, TypeError, MemoryError, TokenError)
DAMAGED_ARRAYS = (*DAMAGED_ARRAY, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
