"""How many replicas hold a bound on the answer time, for 10 to 1,000 hospitals; a simulation.

``python -m benchmarks.capacity`` prints the table of the documentation. Every number that it starts
from is an option, to be replaced by your own.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks.common import console

HOURLY = (2, 1, 1, 1, 1, 2, 4, 7, 10, 11, 11, 10, 8, 9, 9, 8, 7, 5, 4, 4, 3, 3, 2, 2)
"""Chest radiographs in each hour of a working day, in proportion; assumed, not measured."""

PUSH_EVERY_S, PUSH_SPREAD_S = 900, 60
"""Scheduled senders push on the quarter hour, within a minute of it."""


@dataclass(frozen=True)
class Assumptions:
    """What the simulation starts from.

    Attributes
    ----------
    per_hospital
        Chest radiographs of one hospital in a working day.
    images_a_study
        Mean number of images that arrive at the same moment: a study is sent as a whole.
    scheduled
        Share of studies that are not sent at once but at the next quarter hour.
    service_s
        Mean seconds that one replica works on one image.
    variation
        Standard deviation of that, as a share of the mean.
    bound_s
        What 99 of 100 answers must take at most, in seconds.
    """

    per_hospital: int
    images_a_study: float
    scheduled: float
    service_s: float
    variation: float
    bound_s: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-hospital", type=int, default=300, help="[%(default)s] images a day")
    parser.add_argument("--images-a-study", type=float, default=1.6, help="[%(default)s]")
    parser.add_argument("--scheduled", type=float, default=0.1, help="[%(default)s] of all studies")
    parser.add_argument("--service-ms", type=float, default=100, help="[%(default)s] an image")
    parser.add_argument("--variation", type=float, default=0.3, help="[%(default)s] of that")
    parser.add_argument(
        "--bound-s", type=float, default=2, help="[%(default)s] for the 99th percentile"
    )
    parser.add_argument("--days", type=int, default=10, help="[%(default)s] simulated for each row")
    options = parser.parse_args()
    assumed = Assumptions(
        options.per_hospital,
        options.images_a_study,
        options.scheduled,
        options.service_ms / 1000,
        options.variation,
        options.bound_s,
    )
    table = Table(
        "hospitals", "images a day", "in the busiest hour", "replicas", "p99", "busy", "spare"
    )
    for hospitals in (10, 30, 100, 300, 1000):
        rng = np.random.default_rng(hospitals)
        days = [arrivals(hospitals, assumed, rng) for _ in range(options.days)]
        replicas, p99 = enough(days, assumed, rng)
        images = hospitals * assumed.per_hospital
        busiest = images * max(HOURLY) / sum(HOURLY)
        table.add_row(
            f"{hospitals:,}",
            f"{images:,}",
            f"{busiest / 3600:.1f}/s",
            str(replicas),
            f"{p99:.2f} s",
            f"{busiest / 3600 * assumed.service_s / replicas:.0%}",
            str(replicas + 1),
        )
    console.print(table)


def arrivals(hospitals: int, assumed: Assumptions, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the arrival times of one day's images, in seconds, in order.

    Studies are made as a Poisson process whose rate follows ``HOURLY``; a study has one image or
    more, geometrically distributed, which arrive together.
    """
    studies = rng.poisson(hospitals * assumed.per_hospital / assumed.images_a_study)
    share = np.array(HOURLY) / sum(HOURLY)
    times = 3600 * (rng.choice(24, size=studies, p=share) + rng.random(studies))
    pushed = rng.random(studies) < assumed.scheduled
    late = np.ceil(times / PUSH_EVERY_S) * PUSH_EVERY_S + PUSH_SPREAD_S * rng.random(studies)
    images = rng.geometric(1 / assumed.images_a_study, size=studies)
    return np.sort(np.repeat(np.where(pushed, late, times), images))


def enough(
    days: list[NDArray[np.float64]], assumed: Assumptions, rng: np.random.Generator
) -> tuple[int, float]:
    """Find the fewest replicas that hold the bound, and the 99th percentile with them.

    The percentile is that of the worst hour of all days.
    """
    replicas = 1
    while True:
        worst = max(worst_hour(day, answers(day, replicas, assumed, rng)) for day in days)
        if worst <= assumed.bound_s:
            return replicas, worst
        replicas += 1


def worst_hour(times: NDArray[np.float64], took: NDArray[np.float64]) -> float:
    """The largest 99th percentile of any hour with at least 100 images."""
    hours = np.split(took, np.searchsorted(times, 3600 * np.arange(1, 24)))
    return max((float(np.quantile(hour, 0.99)) for hour in hours if len(hour) >= 100), default=0.0)


def answers(
    times: NDArray[np.float64], replicas: int, assumed: Assumptions, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Seconds from each image's arrival to its answer.

    Images go to the replicas in turn, as a load balancer without knowledge of their queues sends
    them; each replica works on one at a time, in order.
    """
    shape = assumed.variation**-2
    work = rng.gamma(shape, assumed.service_s / shape, size=len(times))
    took = np.empty(len(times))
    for first in range(replicas):
        own, needs = times[first::replicas], work[first::replicas]
        # Lindley: an image ends when its work was done after it came, or after the one before it.
        done = np.cumsum(needs)
        took[first::replicas] = done + np.maximum.accumulate(own - (done - needs)) - own
    return took


if __name__ == "__main__":
    main()
