"""The paper's tables, run again: which images, which runs, what is kept, how it is laid out."""
