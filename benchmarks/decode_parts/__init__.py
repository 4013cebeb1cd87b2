"""Parts of `benchmarks/decode.py`, each of which runs alone too."""
