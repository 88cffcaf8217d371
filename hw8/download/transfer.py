"""One file over HTTPS, resumed where it broke off."""

import contextlib
import dataclasses
import http.client
import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hw8.base.errors import InputError, printable
from hw8.base.progress import progress_bar

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)
# Connections per call and seconds between two of them: chosen by hand, so that a network that is away for some seconds
# does not end the download, and a server that is down is reported within half a minute.
ATTEMPTS, PAUSE = 5, 3.0
# Seconds to connect, and to wait for the next bytes. A slow mirror may pause for long between two reads.
TIMEOUTS = (10.0, 60.0)
# Bytes per read, which is what a broken connection may lose; smaller reads cost processor time at 100 MB/s.
CHUNK = 1 << 14
LOOPBACK = ("127.0.0.1", "localhost", "::1")  # where plain HTTP is taken: it does not leave this machine
BUSY = (408, 429, 500, 502, 503, 504)  # HTTP statuses after which the same request may succeed
MAX_QUOTED = 200  # characters quoted of an error


@dataclasses.dataclass(frozen=True)
class RemoteFile:
    """A file to download: its name, its size in bytes and its SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


def check_address(address: str) -> None:
    """Raise InputError unless the address is HTTPS, or HTTP on this machine."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
            return
    raise InputError(f"{without_secrets(address)}: is not HTTPS; give an address that starts with https://")


def without_secrets(address: str) -> str:
    """The address without password and query, to be printed."""
    return printable(re.sub(r"//[^/]*@", "//", address).partition("?")[0], MAX_QUOTED)


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if it does not exist."""
    return path.stat().st_size if path.exists() else 0


def transfer(address: str, file: RemoteFile, part: Path) -> None:
    """Complete `part` from the address, resuming where it ends, in up to 5 connections. Raises InputError."""
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        try:
            _receive(address, file, part)
            return
        except (requests.ConnectionError, requests.Timeout) as error:
            # The cause stands at the end of the messages of requests: "... (Caused by X(...: Connection refused'))", in
            # parentheses of its own if a name cannot be resolved.
            reason = printable(str(error).rpartition(": ")[2].rstrip("'\")"), MAX_QUOTED)
            reason = re.sub(r" \([^)]*$", "", reason)
        except requests.RequestException as error:
            raise InputError(
                f"{without_secrets(address)}: {without_secrets(str(error))}; check the address, or try `url`"
            ) from None
        if attempt < ATTEMPTS:
            log.warning("%s: %s; attempt %d of %d follows", file.name, reason, attempt + 1, ATTEMPTS)
            time.sleep(PAUSE)
    raise InputError(
        f"{without_secrets(address)}: {ATTEMPTS} attempts failed, the last because: {reason}; {size_of(part):,} of "
        f"{file.size:,} bytes are kept in {part}: the same command resumes, or try `url`"
    )


def _receive(address: str, file: RemoteFile, part: Path) -> None:
    """Append one connection's bytes to `part`.

    Raises requests.ConnectionError if it is not complete then, InputError if the server sends another file.
    """
    import requests

    if size_of(part) == file.size:
        return
    with requests.Session() as session, _request(session, address, size_of(part)) as response:
        start = _first_byte(response, file, part)
        # A connection that breaks is reported below, with the bytes that have come.
        broken = contextlib.suppress(requests.exceptions.ChunkedEncodingError)
        with (
            part.open("ab" if start else "wb") as out,
            progress_bar(file.size, file.name, "B", initial=start, unit_scale=True) as bar,
            broken,
        ):
            for chunk in response.iter_content(CHUNK):
                out.write(chunk)
                bar.update(len(chunk))
                if out.tell() > file.size:  # no more is taken of a server that sends without end
                    break
    if size_of(part) > file.size:
        part.unlink()
        raise InputError(
            f"{without_secrets(address)}: sends more than the {file.size:,} bytes of {file.name}; they are deleted: "
            "download it from elsewhere with `url`"
        )
    if size_of(part) < file.size:
        raise requests.ConnectionError(f"the connection ended after {size_of(part):,} of {file.size:,} bytes")


def _request(session: "requests.Session", address: str, start: int) -> "requests.Response":
    """The response to a request for the bytes from `start`. Raises InputError if a redirect left HTTPS."""
    session.trust_env = address.startswith("https:")  # what is on this machine is not requested through a proxy
    # Without Accept-Encoding the bytes might come compressed, and sizes and ranges would be those of other bytes.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    response = session.get(address, headers=headers, stream=True, timeout=TIMEOUTS)
    for hop in (*response.history, response):
        check_address(hop.url)
    return response


def _first_byte(response: "requests.Response", file: RemoteFile, part: Path) -> int:
    """Where in the file the response's body begins: where `part` ends, or 0 if the server sends the whole file.

    Raises requests.ConnectionError if the next attempt may succeed, and InputError, before anything is read, if the
    server has no such file or announces another size.
    """
    import requests

    status, start = response.status_code, size_of(part)
    reason = f"{status} {http.client.responses.get(status, '')}"
    if status == 416:
        part.unlink(missing_ok=True)
    if status in (416, *BUSY):
        raise requests.ConnectionError(f"the server answered {reason}")
    if status not in (200, 206):
        address = without_secrets(response.url)
        raise InputError(f"{address}: the server answered {reason}; check the address, or try `url`")
    if status == 200 and start:
        log.warning("%s: the server does not resume from byte %s; starting again", file.name, f"{start:,}")
        start = 0
    length = response.headers.get("Content-Length", str(file.size - start))
    if length != str(file.size - start):
        raise InputError(
            f"{without_secrets(response.url)}: announces other bytes than the {file.size:,} of {file.name} (Content-"
            f"Length {printable(length, MAX_QUOTED)}); nothing was taken: download it from elsewhere with `url`"
        )
    return start
