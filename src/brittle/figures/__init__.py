"""Figures in one style: those that a diagnostic declares, and those of the report."""
