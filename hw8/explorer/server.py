"""The explorer's server: this machine only, one page, and JSON behind it."""

import socket
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from hw8.base.errors import InputError
from hw8.explorer.catalogue import Catalogue
from hw8.explorer.upload import LARGEST_BYTES
from hw8.report.figures import three_channels
from hw8.report.pages import as_data, render
from hw8.report.sprites import encoded

if TYPE_CHECKING:
    import uvicorn

HOST = "127.0.0.1"
LONGEST = 500
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(catalogue: Catalogue) -> Starlette:
    """The application: `/`, `/image/N`, `/api/list`, `/api/image/N` and, to score a picture, a POST to `/api/score`.

    Requests that name another host are refused (another site's name may have been pointed at this machine), and so
    are posts from another site's page.
    """
    page = render("explorer.html.j2", title=f"{catalogue.name} on {catalogue.data}", data=as_data(catalogue.summary()))

    async def index(_: Request) -> Response:
        return HTMLResponse(page, headers=HEADERS)

    async def image(request: Request) -> Response:
        content = await run_in_threadpool(lambda: encoded(three_channels(catalogue.image(request.path_params["row"]))))
        return Response(content, media_type="image/webp", headers=HEADERS)

    async def listing(request: Request) -> Response:
        query = request.query_params
        offset, limit = _whole(query.get("offset", "0"), "offset"), _whole(query.get("limit", "60"), "limit")
        up = query.get("order") == "up"
        by, kind = query.get("by", "score"), query.get("kind", "")
        return _json(await run_in_threadpool(catalogue.listing, by, kind, up, offset, min(limit, LONGEST)))

    async def explain(request: Request) -> Response:
        return _json(await run_in_threadpool(catalogue.explain, request.path_params["row"]))

    async def score(request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{request.headers.get('host')}":
            return _json({"error": "posts from another site are refused"}, 403)
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST_BYTES:
                return _json({"error": f"the file is over {LARGEST_BYTES / 1e6:.0f} MB"}, 413)
        try:
            return _json(await run_in_threadpool(catalogue.score_upload, bytes(content)))
        except InputError as error:  # what the reader chose is no mistake of the page's: browsers log every 4xx as one
            return _json({"error": str(error)})

    def refused(_: Request, error: Exception) -> Response:
        return _json({"error": str(error)}, 400)

    routes = [
        Route("/", index),
        Route("/image/{row:int}", image),
        Route("/api/list", listing),
        Route("/api/image/{row:int}", explain),
        Route("/api/score", score, methods=["POST"]),
    ]
    known = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    own = Middleware(OwnPagesOnly)
    handlers: Any = {InputError: refused}
    return Starlette(routes=routes, middleware=[known, own], exception_handlers=handlers)


class OwnPagesOnly:
    """Refuses what another site's page asks for, as browsers say of every request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request of this page's, or of the address bar's, and refuse any other."""
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            await self.app(scope, receive, send)
        else:
            await _json({"error": "requests from another site are refused"}, 403)(scope, receive, send)


def _whole(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InputError(f"{name} = {text[:20]!r} is not a whole number")
    return int(text)


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status, headers=HEADERS)


def listen(port: int) -> socket.socket:
    """A socket on this machine's loopback address alone; port 0 takes any that is free. Raises InputError."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"`port` {port}: cannot be listened on ({reason}); choose another, or 0 for any") from None
    return found


def create_server(catalogue: Catalogue) -> "uvicorn.Server":
    """A server for `listen`'s socket: `create_server(...).run(sockets=[...])` serves until it is told to stop."""
    import uvicorn

    config = uvicorn.Config(create_app(catalogue), log_level="warning", access_log=False, server_header=False)
    return uvicorn.Server(config)
