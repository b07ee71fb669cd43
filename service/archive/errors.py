"""What can go wrong while an archive is scored; messages hold no path and no UID."""

from wscxr.errors import DataError, WscxrError


class ArchiveError(WscxrError):
    """An archive cannot be scored."""


class RowError(ArchiveError):
    """An instance has no score, and its row holds this code; never raised to the user."""


class UnreadableFile(RowError):
    """The file cannot be opened, or is no regular file."""

    code = "unreadable_file"


class ScorerDied(RowError):
    """The scoring process died at this image, twice."""

    code = "scorer_died"


class OtherRun(ArchiveError):
    """The folder holds rows of another bundle, or with ids of another key; give a new folder."""

    code = "other_run"
    exit_code = 2


class RunUnderWay(ArchiveError):
    """Another run writes into this folder."""

    code = "run_under_way"


class ScorerUnusable(ArchiveError):
    """A scoring process ended before it was ready."""

    code = "scorer_unusable"


class ClusterUnusable(ArchiveError):
    """The Ray cluster cannot be reached, or refuses: check its address and RAY_AUTH_TOKEN."""

    code = "cluster_unusable"
    exit_code = 5


class RowsMissing(ArchiveError):
    """Some instances have no row although the run ended; start it again."""

    code = "rows_missing"


class NothingToScore(DataError):
    """The folders, manifest or dates given hold no radiograph."""

    code = "nothing_to_score"
