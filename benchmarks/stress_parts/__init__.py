"""What `benchmarks/stress.py` is made of."""
