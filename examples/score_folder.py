"""Score every image of a folder, and write a CSV file with one line for each.

Example: python examples/score_folder.py archive/ scores.csv --bundle model_store/chest/1
"""

import argparse
import csv
from pathlib import Path

import wscxr
from wscxr.errors import ImageError


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="read with all folders below it")
    parser.add_argument("csv", type=Path, help="CSV file to write")
    parser.add_argument("--bundle", type=Path, help="default: the bundle that ships")
    arguments = parser.parse_args()

    model = wscxr.load(arguments.bundle)
    with arguments.csv.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "score", "p_value", "decision", "ood_score", "error"])
        for path in sorted(path for path in arguments.folder.rglob("*") if path.is_file()):
            name = path.relative_to(arguments.folder)
            try:
                found = model.predict(path)
            except ImageError as error:  # no image, a damaged one, a lateral view ...
                writer.writerow([name, "", "", "", "", error.code])
            else:
                numbers = [found.score, found.p_value, found.decision, found.ood_score]
                writer.writerow([name, *numbers, ""])


if __name__ == "__main__":
    main()
