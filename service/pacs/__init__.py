"""The bridge to a PACS: pulls radiographs, has them scored, and stores the results.

The archive is the queue. The bridge learns from the archive what arrived, stores results there, and
finishes an arrival only when the results can be read back. Results carry fixed UIDs, so work that
is repeated after a crash, or done by two watchers at once, stores the same objects again.
"""
