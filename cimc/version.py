"""The version of cimc."""

__version__ = "0.1.0"
