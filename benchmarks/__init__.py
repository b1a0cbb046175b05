"""Measures the library against raw ZeroMQ on this machine: `python -m benchmarks --help`."""
