"""Brittle: after unlearning, is the knowledge gone or only hidden?"""

__version__ = "0.1.0"
