"""The explorer's server: this machine only, one page, and JSON behind it."""

import math
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
from hw8.explorer.query import Query
from hw8.explorer.upload import MAX_BYTES
from hw8.report.heatmaps import three_channels
from hw8.report.pages import as_data, render
from hw8.report.sprites import encoded

if TYPE_CHECKING:
    import uvicorn

HOST = "127.0.0.1"
MAX_NAME = 255  # characters of an upload's file name, as most file systems allow
MAX_LISTING = 500  # images per request; the page asks for 60 at a time, and loads more as one scrolls
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",  # tomorrow the same address may show another run
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def create_app(catalogue: Catalogue) -> Starlette:
    """The application: `/`, `/image/N`, what `/api/` answers in JSON, and `/api/rows.csv`.

    Any web page that is open in the browser could send requests to this machine. Those that name another host (whose
    name may have been pointed here) or that the browser marks as another site's are refused.
    """
    names = " beside ".join(run.name for run in catalogue.runs)
    data = as_data({"largest_bytes": MAX_BYTES})
    folder = catalogue.runs[0].trained.folder
    crop = None if folder is None else folder.picture_crop()  # the menu for uploaded pictures begins with it
    page = render("explorer.html.j2", title=f"{names} on {catalogue.data}", data=data, crop=crop)
    answers = _Answers(catalogue)
    routes = [
        Route("/", lambda _: HTMLResponse(page)),
        Route("/image/{row:int}", answers.image),
        Route("/api/state", answers.state),
        Route("/api/list", answers.listing),
        Route("/api/histogram", answers.histogram),
        Route("/api/rows.csv", answers.rows),
        Route("/api/image/{row:int}", answers.explanation),
        Route("/api/map/{row:int}", answers.score_maps),
        Route("/api/score", answers.score_upload, methods=["POST"]),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False),
        Middleware(BaseHTTPMiddleware, dispatch=_own_pages_only),
    ]
    handlers: Any = {InputError: _refused}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


class _Answers:
    """What each address answers; Starlette runs a method that is not async in a thread of its own."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def image(self, request: Request) -> Response:
        content = encoded(three_channels(self.catalogue.image(request.path_params["row"])))
        return Response(content, media_type="image/webp")

    def state(self, _: Request) -> Response:
        return JSONResponse(self.catalogue.state())

    def listing(self, request: Request) -> Response:
        offset, limit = _whole_number(request, "offset", 0), _whole_number(request, "limit", 60)
        return JSONResponse(self.catalogue.listing(_query(request), offset, min(limit, MAX_LISTING)))

    def histogram(self, request: Request) -> Response:
        query = _query(request)
        return JSONResponse(self.catalogue.histogram(query.run, query.by))

    def rows(self, request: Request) -> Response:
        name = self.catalogue.csv_name(_query(request))
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(_csv(self.catalogue, request), media_type="text/csv", headers=headers)

    def explanation(self, request: Request) -> Response:
        return JSONResponse(self.catalogue.explain(request.path_params["row"], _query(request)))

    def score_maps(self, request: Request) -> Response:
        return JSONResponse(self.catalogue.score_maps(request.path_params["row"]))

    async def score_upload(self, request: Request) -> Response:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BYTES:
                return JSONResponse({"error": f"over {MAX_BYTES / 1e6:.0f} MB; make the picture smaller"}, 413)
        name = request.query_params.get("name", "your image")[:MAX_NAME]
        crop = request.query_params.get("crop", "centre")
        try:
            return JSONResponse(await run_in_threadpool(self.catalogue.score_upload, bytes(content), name, crop))
        except InputError as error:  # not a 4xx, which browsers log as a fault of the page
            return JSONResponse({"error": str(error)})


def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


def _csv(catalogue: Catalogue, request: Request) -> str:
    """The rows of the images that `ids` names or, without it, of all that the query asks for."""
    query, ids = _query(request), request.query_params.get("ids")
    if ids is None:
        return catalogue.as_csv(catalogue.rows(query).tolist(), query)
    rows = [_as_number("ids", text) for text in ids.split(",")]
    for row in rows:
        catalogue.check_row(row)
    return catalogue.as_csv(rows, query)


def _query(request: Request) -> Query:
    """The images that a request asks for. Raises InputError for a number that is none."""
    parameters, above = request.query_params, None
    if text := parameters.get("t", ""):
        try:
            above = float(text)
        except ValueError:
            above = math.nan
        if not math.isfinite(above):
            raise InputError(f"t = {text[:20]!r} is not a number")
    return Query(
        run=_whole_number(request, "run", 0), by=parameters.get("by", "score"), above=above,
        ascending=parameters.get("order") == "up", show=parameters.get("show", "all"),
        kind=parameters.get("kind", ""), text=parameters.get("q", ""),
    )  # fmt: skip


async def _own_pages_only(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Refuse what another site's page asks for, as browsers say of every request, and add HEADERS to each answer."""
    if request.headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        response = await call_next(request)
    else:
        response = JSONResponse({"error": "requests from another site are refused"}, 403)
    response.headers.update(HEADERS)
    return response


def _whole_number(request: Request, name: str, default: int) -> int:
    return _as_number(name, request.query_params.get(name, str(default)))


def _as_number(name: str, text: str) -> int:
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
