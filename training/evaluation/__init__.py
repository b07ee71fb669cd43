"""Evaluation of a bundle: metrics, intervals, confounders, localisation, the report."""
