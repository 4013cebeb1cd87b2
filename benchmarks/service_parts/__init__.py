"""Parts of the benchmark of the service that tests use too."""
