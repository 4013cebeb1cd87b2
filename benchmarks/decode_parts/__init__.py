"""Parts of `benchmarks/decode.py`, one for each family of methods."""
