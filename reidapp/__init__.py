"""Find one person across many cameras' recordings."""

__version__ = "0.1.0"
