"""The form of an error: RFC 9457, "Problem Details for HTTP APIs"."""

from pydantic import BaseModel, ConfigDict, Field

from wscxr.errors import WscxrError

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """An error, as RFC 9457 describes them; match on `code`."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="URN of the kind of error; holds the code.")
    title: str = Field(description="The kind of error, for people.")
    status: int = Field(ge=400, le=599, description="HTTP status.")
    detail: str = Field(description="What happened this time, for people.")
    code: str = Field(description="The kind of error, for programs; never changes.")
    request_id: str = Field(description="Id of the request; the log has it too.")

    @classmethod
    def of(cls, error: WscxrError, request_id: str) -> "Problem":
        """Describe an error that clients may see."""
        return cls(
            type=f"urn:wscxr:problem:{error.code}",
            title=error.code.replace("_", " ").capitalize(),
            status=error.status,
            detail=str(error),
            code=error.code,
            request_id=request_id,
        )
