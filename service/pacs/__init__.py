"""The bridge to a PACS: studies are pulled, scored, and their results pushed back.

The archive is the queue. What arrived is learnt from the archive, results go into the archive, and
only when they were read back from there is an arrival finished. Results carry fixed UIDs, so work
that is repeated after a crash, or done by two watchers at once, stores the same objects again.
"""
