"""Unlearning methods: one file each; the folder is the registry. See :mod:`brittle.contracts` for what a file offers."""
