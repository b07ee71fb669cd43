"""The next version of a bundle, from the data of the last one and from readers' verdicts."""
