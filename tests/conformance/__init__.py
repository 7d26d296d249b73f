"""The matrix of reads and writes, run beside other libraries: `make conformance`."""
