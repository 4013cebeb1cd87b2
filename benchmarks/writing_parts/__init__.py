"""What `benchmarks/writing.py` is made of."""
