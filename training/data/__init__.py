"""What training reads: samples, images, splits, annotations, patch features."""
