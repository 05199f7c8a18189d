"""What a call to the service can be refused for: one sentence each, the same for HTTP and gRPC.

    Refusal                    a caller's mistake; `slug` names it, `status` is HTTP's
    ├── BadRequest       400   the request is not what the interface allows
    ├── Unauthenticated  401   no token or certificate that holds
    ├── Forbidden        403   the caller's role may not do this
    ├── NotFound         404   there is no such thing, or it is not the caller's
    ├── Conflict         409   the thing is in a state that does not allow this
    ├── TooLarge         413   more bytes than a request may have
    ├── Unprocessable    422   well-formed, but a field or a key does not hold
    ├── TooMany          429   throttled; `retry_after_s` says for how long
    └── Unavailable      503   the service or something it rests on cannot answer now
"""
from __future__ import annotations

from protocols.errors import SealscoreError


class Refusal(SealscoreError):
    """Base: `str(refusal)` is one sentence that says what was expected, what came and what to do next."""

    status = 400
    slug = "refused"
    retry_after_s: int | None = None


class BadRequest(Refusal):
    """Not what the interface allows."""

    slug = "bad-request"


class Unauthenticated(Refusal):
    """No credential that holds."""

    status, slug = 401, "unauthenticated"


class Forbidden(Refusal):
    """The caller is known and may not do this."""

    status, slug = 403, "forbidden"


class NotFound(Refusal):
    """No such thing, or none that the caller may know of."""

    status, slug = 404, "not-found"


class Conflict(Refusal):
    """The thing's state does not allow it."""

    status, slug = 409, "conflict"


class TooLarge(Refusal):
    """More bytes than a request may have."""

    status, slug = 413, "too-large"


class Unprocessable(Refusal):
    """Well-formed, but a value does not hold."""

    status, slug = 422, "unprocessable"


class TooMany(Refusal):
    """Throttled; come again after `retry_after_s` seconds."""

    status, slug = 429, "too-many-requests"

    def __init__(self, sentence: str, retry_after_s: int):
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class Unavailable(Refusal):
    """Something the service rests on cannot answer now; come again after `retry_after_s` seconds."""

    status, slug = 503, "unavailable"

    def __init__(self, sentence: str, retry_after_s: int = 1):
        super().__init__(sentence)
        self.retry_after_s = retry_after_s
