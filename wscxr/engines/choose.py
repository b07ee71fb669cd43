"""Which engine is taken where several could be."""

from wscxr.choices import EngineName, Precision
from wscxr.engines.identity import EngineIdentity
from wscxr.errors import EngineUnavailable


def choose_engine(engine: str = "auto", precision: str = "auto") -> EngineIdentity:
    """Turn what a person asked for into an engine that is there.

    Parameters
    ----------
    engine
        ``"auto"`` or an `EngineName`; an engine asked for by name is never replaced by another.
    precision
        ``"auto"`` or a `Precision`.

    Raises
    ------
    EngineUnavailable
        It is unknown, or cannot be used here.
    """
    if engine not in ("auto", EngineName.TORCH):
        raise EngineUnavailable(f"engine {engine!r} is not supported; use auto or torch")
    if precision not in ("auto", Precision.FLOAT32):
        raise EngineUnavailable(f"precision {precision!r} is not supported; use auto or float32")
    return EngineIdentity(name=EngineName.TORCH, precision=Precision.FLOAT32)
