"""The report of an evaluation: one HTML file that needs nothing else."""

from training.evaluation.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
