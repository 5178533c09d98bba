"""Recompile a program for every chip of a fleet: a directory of fault maps."""
