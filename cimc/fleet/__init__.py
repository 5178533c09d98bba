"""Recompile a program for every chip of a fleet."""
