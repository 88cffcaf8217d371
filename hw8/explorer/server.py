"""The explorer's server: this machine only, one page, and JSON behind it."""

import socket
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from hw8.base.errors import InputError
from hw8.explorer.catalogue import Catalogue
from hw8.explorer.upload import LARGEST_BYTES
from hw8.report.figures import three_channels
from hw8.report.pages import as_data, render
from hw8.report.sprites import encoded

if TYPE_CHECKING:
    import uvicorn

HOST = "127.0.0.1"
LARGEST_LISTING = 500  # images per request; the page asks for 60 at a time, and loads more as one scrolls
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",  # tomorrow the same address may show another run
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(catalogue: Catalogue) -> Starlette:
    """The application: `/`, `/image/N`, `/api/list`, `/api/image/N` and, to score a picture, a POST to `/api/score`.

    Any web page that is open in the browser could send requests to this machine. Those that name another host (whose
    name may have been pointed here) or that the browser marks as another site's are refused.
    """
    page = render("explorer.html.j2", title=f"{catalogue.name} on {catalogue.data}", data=as_data(catalogue.summary()))

    async def index(_: Request) -> Response:
        return HTMLResponse(page)

    async def image(request: Request) -> Response:
        content = await run_in_threadpool(lambda: encoded(three_channels(catalogue.image(request.path_params["row"]))))
        return Response(content, media_type="image/webp")

    async def listing(request: Request) -> Response:
        query = request.query_params
        offset, limit = _whole_number(query, "offset", 0), _whole_number(query, "limit", 60)
        by, kind, ascending = query.get("by", "score"), query.get("kind", ""), query.get("order") == "up"
        limit = min(limit, LARGEST_LISTING)
        return JSONResponse(await run_in_threadpool(catalogue.listing, by, kind, ascending, offset, limit))

    async def explain(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(catalogue.explain, request.path_params["row"]))

    async def score(request: Request) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > LARGEST_BYTES:
                return JSONResponse({"error": f"the file is over {LARGEST_BYTES / 1e6:.0f} MB"}, 413)
        try:
            return JSONResponse(await run_in_threadpool(catalogue.score_upload, bytes(content)))
        except InputError as error:  # not a 4xx, which browsers log as a fault of the page
            return JSONResponse({"error": str(error)})

    def refused(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    routes = [
        Route("/", index),
        Route("/image/{row:int}", image),
        Route("/api/list", listing),
        Route("/api/image/{row:int}", explain),
        Route("/api/score", score, methods=["POST"]),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False),
        Middleware(BaseHTTPMiddleware, dispatch=_own_pages_only),
    ]
    handlers: Any = {InputError: refused}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


async def _own_pages_only(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Refuse what another site's page asks for, as browsers say of every request, and add HEADERS to each answer."""
    if request.headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        response = await call_next(request)
    else:
        response = JSONResponse({"error": "requests from another site are refused"}, 403)
    response.headers.update(HEADERS)
    return response


def _whole_number(query: Any, name: str, default: int) -> int:
    text = query.get(name, str(default))
    # isdigit alone accepts digits of every script, and superscripts, which int refuses.
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InputError(f"{name} = {text[:20]!r} is not a whole number")
    return int(text)


def listen(port: int) -> socket.socket:
    """A socket on this machine's loopback address alone; port 0 takes any that is free. Raises InputError."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # Started again at once, the explorer gets its port although the system still keeps it for a minute.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"`port` {port}: cannot be listened on ({reason}); choose another, or 0 for any") from None
    return listening


def create_server(catalogue: Catalogue) -> "uvicorn.Server":
    """A server for `listen`'s socket: `create_server(...).run(sockets=[...])` serves until it is told to stop."""
    import uvicorn

    config = uvicorn.Config(create_app(catalogue), log_level="warning", access_log=False, server_header=False)
    return uvicorn.Server(config)
