"""A slow server of one file on loopback, which understands Range: prints its port and serves until it is killed."""

import random
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "trainingset.npy"
BODY = random.Random(0).randbytes(600_000)
PIECE, PAUSE = 12_000, 0.02


class Handler(BaseHTTPRequestHandler):
    """Any range of the file, a piece at a time."""

    def do_GET(self) -> None:
        """Answer a request."""
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        self.end_headers()
        for place in range(start, len(BODY), PIECE):
            try:
                self.wfile.write(BODY[place : place + PIECE])
            except OSError:
                return
            time.sleep(PAUSE)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()
