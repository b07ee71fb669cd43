"""The data of training: samples, images, splits, annotations, patch features."""
