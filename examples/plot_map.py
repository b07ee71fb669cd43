"""Plot a radiograph beside its anomaly map, with matplotlib.

Example: python examples/plot_map.py chest.png figure.png --bundle model_store/chest/1
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

import wscxr


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path, help="PNG, JPEG or DICOM")
    parser.add_argument("figure", type=Path, help="PNG, PDF or SVG file to write")
    parser.add_argument("--bundle", type=Path, help="default: the bundle that ships")
    arguments = parser.parse_args()

    found = wscxr.load(arguments.bundle).predict(arguments.image)
    scale = found.colour_scale

    figure = Figure(figsize=(12, 4), layout="constrained")
    figure.suptitle(f"score {found.score:.3f}, p = {found.p_value:.3f}: {found.decision}")
    radiograph, anomaly_map, overlay = figure.subplots(1, 3)
    if found.radiograph is not None:
        radiograph.imshow(found.radiograph.pixels, cmap="gray")
    radiograph.set_title("radiograph")
    # The colour scale belongs to the bundle, so figures of several images can be compared.
    shown = anomaly_map.imshow(found.anomaly_map, cmap="inferno", vmin=scale.low, vmax=scale.high)
    anomaly_map.set_title("anomaly map, on the detector's grid")
    figure.colorbar(shown, ax=anomaly_map)
    overlay.imshow(found.overlay())
    overlay.set_title("overlay")
    for axes in (radiograph, anomaly_map, overlay):
        axes.set_axis_off()
    figure.savefig(arguments.figure)


if __name__ == "__main__":
    main()
