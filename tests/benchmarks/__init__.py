"""The benchmarks' own arithmetic; the measuring itself is `make bench`."""
