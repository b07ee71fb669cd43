"""The HTTP surface: one module for each resource, its schema beside its routes, paths in full."""
