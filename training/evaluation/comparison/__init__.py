"""Two bundles on the same images: what changes from one to the other, and whether it is better."""
