"""What the processes of a measurement do; each function is the whole life of one process (see `benchmarks.worker`)."""
