"""From what a caller shows to who it is: a signed token, or a certificate that the configuration names."""
from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping

from parties.bank.service.callers import Caller
from parties.bank.service.refusals import Unauthenticated
from parties.bank.service.settings import ClientConfig
from parties.bank.service.tokens import TokenCheck

MOST_HEADER = 4096
HINT = "send `authorization: Bearer TOKEN` of `sealscore bank decisions token`, or a client certificate that " \
       "[decisions.clients] names"


class Credentials:
    """Knows this service's tokens and clients."""

    def __init__(self, tokens: TokenCheck, clients: Mapping[str, ClientConfig],
                 clock: Callable[[], float] = time.time):
        self._tokens, self._clock = tokens, clock
        self._clients = {one.certificate: Caller(name, one.role, "certificate") for name, one in clients.items()}

    def caller(self, authorization: str | None, certificate: bytes | None) -> Caller:
        """Who calls: by the token if there is one, else by the certificate (DER, verified by TLS)."""
        if authorization:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token or len(token) > MOST_HEADER:
                raise Unauthenticated(f"expected a bearer token, got something else; {HINT}")
            return self._tokens.caller(token.strip(), self._clock())
        if certificate is None:
            raise Unauthenticated(f"expected a token or a client certificate, got neither; {HINT}")
        known = self._clients.get(hashlib.sha256(certificate).hexdigest())
        if known is None:
            raise Unauthenticated(f"expected the certificate of a known client, got another; {HINT}")
        return known
