"""What stands under which address, and how an answer or what is wrong travels to the page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from embed.browse.app import Browser
from embed.browse.guard import Guard
from tomoseek.errors import InputError

PAGE = Path(__file__).resolve().parent / "page"
MOST_BODY = 100_000  # bytes of a request
POSTS = (
    "project", "picks", "state", "act", "snap", "search", "finds", "accept", "save", "explore", "catch",
    "train", "training", "stop_training", "trained_finds",
)  # fmt: skip
PICTURES = ("slice", "likeness", "crop", "thumbnail")

Handler = Callable[[dict[str, Any]], Any]


def build_app(browser: Browser, guard: Guard) -> Starlette:
    """Put the answers under their addresses."""
    posts: dict[str, Handler] = {name: getattr(browser, name) for name in POSTS}
    pictures = {name: getattr(browser, name) for name in PICTURES}
    routes = [
        *(Route(f"/api/{name}", _answering(handler), methods=["POST"]) for name, handler in posts.items()),
        *(Route(f"/{name}", _drawing(handler)) for name, handler in pictures.items()),
        Route("/", _index),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)])


def sorry_app(message: str, guard: Guard) -> Starlette:
    """Answer with a page that says what is missing and what to run."""
    from html import escape

    async def sorry(_: Request) -> Response:
        text = (PAGE / "sorry.html").read_text().replace("MESSAGE", escape(message))
        return HTMLResponse(text)

    routes = [Route("/", sorry), Mount("/page", StaticFiles(directory=PAGE))]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)])


async def _index(_: Request) -> Response:
    return HTMLResponse((PAGE / "index.html").read_text())


def _answering(handler: Handler) -> Callable[[Request], Any]:
    """Answer JSON with JSON; what is wrong with a request is said in a line."""

    async def answer(request: Request) -> Response:
        body = await request.body()
        try:
            if len(body) > MOST_BODY:
                raise InputError("request: expected a short one")
            asked = json.loads(body or b"{}")
            if not isinstance(asked, dict):
                raise InputError("request: expected a JSON object")
            return JSONResponse(await run_in_threadpool(handler, asked))
        except (InputError, ValueError, TypeError, KeyError, RecursionError, FileNotFoundError) as error:
            return JSONResponse({"error": str(error) or type(error).__name__, "kind": type(error).__name__}, 400)

    return answer


def _drawing(handler: Callable[[Request], Response]) -> Callable[[Request], Any]:
    """Answer with a picture."""

    async def answer(request: Request) -> Response:
        try:
            return await run_in_threadpool(handler, request)
        except (InputError, ValueError, KeyError, FileNotFoundError) as error:
            return JSONResponse({"error": str(error) or type(error).__name__}, 400)

    return answer
