"""Sweeps: many models from one file, each through the same stages, on the cores, GPUs or nodes at hand."""
