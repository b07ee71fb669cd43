"""Whole archives scored: folders, a manifest or a DICOMweb server in, Parquet shards out.

`commands` puts a run together: `sources` list the instances, `worklist` keeps those without a row,
`process` scores them in processes of their own (here through `local`, on a Ray cluster through
`cluster`), and `shards` writes the rows.
"""
