"""One file over HTTPS, in as many connections as it takes: checked addresses, known sizes, nothing twice."""

import dataclasses
import http.client
import logging
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from hw8.base.errors import InputError, printable

if TYPE_CHECKING:
    import requests
    from tqdm import tqdm

log = logging.getLogger(__name__)
ATTEMPTS = 5
PAUSE = 3.0  # seconds between two attempts
TIMEOUTS = (10.0, 60.0)  # seconds to connect, and to wait for the next bytes
HOPS = 5
LONGEST = 200  # characters quoted of what a server says
CHUNK = 1 << 14  # bytes; a broken connection loses less than this
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TRY_AGAIN = (408, 429, 500, 502, 503, 504)


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file known before it is fetched: its name, its size in bytes, and its SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


class _BrokenError(Exception):
    """A transfer that ended early and may go better the next time; the message says how it ended."""


def size_of(path: Path) -> int:
    """Bytes of a file; none if it is not there."""
    return path.stat().st_size if path.exists() else 0


def transfer(address: str, file: RemoteFile, part: Path) -> None:
    """Complete `part` from the address, going on where it ends, in up to ATTEMPTS connections. Raises InputError."""
    import requests
    import urllib3

    again = (_BrokenError, requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            if _usable(part, file) < file.size:
                _receive(address, file, part)
            return
        except again as error:
            reason = _reason(error)
            if "CERTIFICATE" in str(error):
                raise InputError(f"{shown(address)}: cannot be trusted ({reason}); try `url`") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise InputError(f"{shown(address)}: {_reason(error)}; check the address, or try `url`") from None
        if attempt < ATTEMPTS:
            log.warning("%s: %s; attempt %d of %d follows", file.name, reason, attempt + 1, ATTEMPTS)
            time.sleep(PAUSE)
    raise InputError(
        f"{shown(address)}: {ATTEMPTS} attempts failed, the last because: {reason}; {size_of(part):,} of {file.size:,} "
        f"bytes are kept in {part}: the same command goes on, or try `url`"
    )


def _usable(part: Path, file: RemoteFile) -> int:
    """The size of `part` in bytes; one that is longer than the file is of something else, and deleted."""
    if size_of(part) > file.size:
        log.warning("%s: is longer than %s; starting again", part, file.name)
        part.unlink()
    return size_of(part)


def _receive(address: str, file: RemoteFile, part: Path) -> None:
    """One connection's worth of `part`. Raises _BrokenError if it is not complete then, InputError for other bytes."""
    with _session() as session, _request(session, address, size_of(part)) as response:
        start = _first_byte(response, file, part)
        with part.open("ab" if start else "wb") as out, progress_bar(file, start) as bar:
            for chunk in response.iter_content(CHUNK):
                if out.tell() + len(chunk) > file.size:
                    part.unlink()
                    raise InputError(
                        f"{shown(address)}: sends more than the {file.size:,} bytes of {file.name}; what has come is "
                        "deleted: fetch it from elsewhere with `url`"
                    )
                out.write(chunk)
                bar.update(len(chunk))
    if size_of(part) < file.size:
        raise _BrokenError(f"the connection ended after {size_of(part):,} of {file.size:,} bytes")


def _session() -> "requests.Session":
    import requests

    class ByHand(requests.Session):
        """A session that leaves redirects alone; it would else read their bodies, however long."""

        def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - requests' name
            return None

    return ByHand()


def _request(session: "requests.Session", address: str, start: int) -> "requests.Response":
    """The answer to a request for the bytes from `start` on; every hop is checked before it is asked."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    hop = checked_address(address)
    for _ in range(HOPS + 1):
        session.trust_env = hop.startswith("https:")  # plain HTTP stays on this machine: by no proxy
        response = session.get(hop, headers=headers, stream=True, allow_redirects=False, timeout=TIMEOUTS)
        if not response.is_redirect:
            return response
        response.close()
        # Headers are read as Latin-1, but addresses with other letters are sent in UTF-8.
        goal = response.headers["location"].encode("latin-1").decode("utf-8", "replace")
        hop = checked_address(goal, before=hop)
    raise InputError(f"{shown(address)}: redirects more than {HOPS} times; check the address, or try `url`")


def checked_address(address: str, before: str | None = None) -> str:
    """The address as it will be asked for; `before` is the one that redirects to it, if any (it may be relative).

    Raises InputError if it is not HTTPS; plain HTTP is for this machine alone, if the user or this machine names it.
    """
    import requests
    import urllib3

    redirected = f" (redirected there by {shown(before)})" if before else ""
    try:
        # Read by the parser that the request will use: two parsers may see two hosts in one odd address.
        asked = requests.Request("GET", urljoin(before or "", address)).prepare().url or ""
        scheme = urllib3.util.parse_url(asked).scheme
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError):
        raise InputError(f"{shown(address)}: is no address{redirected}; give one that starts with https://") from None
    if scheme == "https" or (scheme == "http" and _is_here(asked) and (before is None or _is_here(before))):
        return asked
    raise InputError(
        f"{shown(asked)}: is not HTTPS{redirected}, and was not asked; give an address that starts with https://"
    )


def _is_here(address: str) -> bool:
    """Whether an address is this machine's own."""
    import urllib3

    return (urllib3.util.parse_url(address).host or "").strip("[]") in LOOPBACK


def _first_byte(response: "requests.Response", file: RemoteFile, part: Path) -> int:
    """Where in the file the answer's body begins: where `part` ends, or 0 if the server sends the whole file.

    Raises _BrokenError if the next attempt may go better, and InputError if the server announces other bytes, before
    one of them is read.
    """
    start, status = size_of(part), response.status_code
    word = http.client.responses.get(status, "")
    length, span = response.headers.get("Content-Length"), response.headers.get("Content-Range", "none").strip()
    if status in TRY_AGAIN:
        raise _BrokenError(f"the server answered {status} {word}")
    if status == 416 and start and span in ("none", f"bytes */{file.size}"):
        part.unlink()
        raise _BrokenError(f"the server does not go on from byte {start:,}; starting again")
    if status not in (200, 206, 416):
        raise InputError(f"{shown(response.url)}: the server answered {status} {word}; check the address, or try `url`")
    if status == 206:
        asked = f"bytes {start}-{file.size - 1}/"
        fits = span in (f"{asked}{file.size}", f"{asked}*") and length in (None, str(file.size - start))
    else:
        fits = status == 200 and length in (None, str(file.size))
    if not fits or _is_coded(response):
        raise InputError(
            f"{shown(response.url)}: announces other bytes than the {file.size:,} of {file.name} (Content-Length "
            f"{printable(length or 'none', LONGEST)}, Content-Range {printable(span, LONGEST)}); nothing was taken: "
            "fetch it from elsewhere with `url`"
        )
    if status == 200 and start:
        log.warning("%s: the server does not go on from byte %s; starting again", file.name, f"{start:,}")
    return start if status == 206 else 0


def _is_coded(response: "requests.Response") -> bool:
    """Whether the body is compressed, though it was asked for as it is."""
    return response.headers.get("Content-Encoding", "identity").lower() != "identity"


def progress_bar(file: RemoteFile, start: int = 0) -> "tqdm[Any]":
    """Progress in bytes, with their rate and the time left, on standard error."""
    from tqdm import tqdm

    quiet = 0.1 if sys.stderr.isatty() else 15.0
    return tqdm(
        total=file.size, initial=start, desc=file.name, unit="B", unit_scale=True, mininterval=quiet, file=sys.stderr
    )


def shown(address: str) -> str:
    """An address as it may be printed: without password and query, on one line."""
    return printable(re.sub(r"//[^/?#]*@", "//", address).partition("?")[0], LONGEST)


def _reason(error: Exception) -> str:
    """An error's last words, which name its cause."""
    import requests

    if isinstance(error, _BrokenError):
        return str(error)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke"
    innermost = re.split(r": |\('", str(error))[-1]
    return printable(re.split(r"['\"]\)", innermost)[0].strip("'\" "), LONGEST)
