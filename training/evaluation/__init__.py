"""How good a bundle is: metrics, intervals, confounders, localisation, the report."""
