"""Who may talk to the server: whoever knows the token, from a page that the server itself has served.

A page of another site can make a browser send requests to this machine. It knows no token, its cookie is not sent
(SameSite), and its name stands in Host or Origin.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

COOKIE = "tomoseek"
LOCAL = ("127.0.0.1", "localhost", "::1")
Answer = Callable[[Request], Awaitable[Response]]
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)


class Guard:
    """Lets requests through, or refuses them.

    Parameters
    ----------
    token
        Part of the address that is printed at the start.
    hosts
        Names under which the server may be called, besides those of this machine.
    """

    def __init__(self, token: str, hosts: tuple[str, ...] = ()) -> None:
        self.token, self.hosts = token, {*LOCAL, *hosts}

    async def __call__(self, request: Request, answer: Answer) -> Response:
        """Answer a request that may be answered."""
        if _name(request.headers.get("host", "")) not in self.hosts:
            return PlainTextResponse("called under a name that is not this server's", 421)
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).hostname not in self.hosts:
            return PlainTextResponse("asked by a page of another site", 403)
        given = request.query_params.get("token")
        if given is not None and request.url.path == "/" and self._known(given):
            # Out of the address bar, and out of what the browser passes on.
            response: Response = RedirectResponse("/", 303)
            response.set_cookie(f"{COOKIE}-{request.url.port}", self.token, httponly=True, samesite="strict")
            return response
        if not self._known(request.cookies.get(f"{COOKIE}-{request.url.port}", "")):
            return PlainTextResponse("open the whole address that the command has printed, with its token", 403)
        response = await answer(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    def _known(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.token.encode())


def _name(host: str) -> Any:
    """Return the name of ``name:port``."""
    return urlsplit(f"//{host}").hostname
