"""Run the benchmarks that need no data of anybody's; `anomalib_patchcore` is run by name."""

from benchmarks import serving, training_job

if __name__ == "__main__":
    training_job.main([])
    serving.main([])
