"""Diagnostics: one file per question; the folder is the registry. See :mod:`brittle.contracts`."""
