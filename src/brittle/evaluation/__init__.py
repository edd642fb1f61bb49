"""Benchmarks: what a model knows, asked by our own scorer. Nothing here looks inside the model."""
