"""What a write costs beside its peers, however much is cached: `python -m benchmarks.writes`."""
