"""Benchmarks of whole sites."""
