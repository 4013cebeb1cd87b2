"""Parts of the benchmark of learning from reward."""
