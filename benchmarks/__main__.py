"""Run the benchmarks that need no data; `anomalib_patchcore`, `mined_places` are run by name."""

from benchmarks import serving, training_job

if __name__ == "__main__":
    training_job.main([])
    serving.main([])
