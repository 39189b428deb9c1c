"""The two kinds of failure a caller can see."""

from __future__ import annotations


class RequestError(Exception):
    """A request that cannot be accepted. Answered at once with `status`; `field` is the path of the offending value."""

    def __init__(self, message: str, *, field: str | None = None, status: int = 422) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.status = status


class ComputeError(Exception):
    """Work that was accepted and then failed. It becomes the future's result `{error, category}`.

    `category` is `user` when the caller can mend it (a wrong model, an unknown checkpoint) and `server` otherwise.
    """

    def __init__(self, message: str, *, category: str = "user") -> None:
        super().__init__(message)
        self.message = message
        self.category = category
