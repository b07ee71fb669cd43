"""Mutated files and requests at every door of the program: what comes in from others."""
