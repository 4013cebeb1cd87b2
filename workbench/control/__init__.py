"""Control: scorers of samples, proposals that samples come from, and `guide`, which steers proposals by scorers."""
