"""What `benchmarks/adapt.py` is made of."""
