"""The matrix of conversions, on one GPU or several; see :mod:`benchmarks.conversion.__main__`."""
