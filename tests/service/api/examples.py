"""How many examples schemathesis makes of a document, the same ones in every run."""

from hypothesis import HealthCheck, settings


def examples(count: int) -> settings:
    """Settings for so many examples of each operation, however long one takes."""
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
