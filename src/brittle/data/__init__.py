"""Texts, questions, splits and the world that the laboratory is made of. Needs no models."""
