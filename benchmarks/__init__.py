"""How fast and how good, as ratios measured in one run: `python -m benchmarks`.

None of this is a test: nothing here passes or fails.
"""
