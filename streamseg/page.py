"""A web page with the live overlay and the live report. Comes in: BGR pictures. Served by threads of its own.

Listens on loopback unless told otherwise: whoever reaches the port sees the camera.
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamseg.errors import SinkError

BOUNDARY = b"streamseg-frame"
IDLE_SECONDS = 1.0
"""A viewer without a new picture gets the last one again after this long, so that a dead connection is noticed."""

HTML = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>streamseg live</title>
<meta name="viewport" content="width=device-width">
<style>body{margin:0;background:#111;color:#ddd;font:15px system-ui;text-align:center}
img{max-width:100%;max-height:88vh;display:block;margin:0 auto}p{margin:.6em}</style>
<img src="stream.mjpg" alt="live overlay"><p id="numbers">connecting...</p><script>
const tick=async()=>{const line=document.getElementById("numbers");try{
const r=await(await fetch("report.json")).json();
line.textContent=`${r.fps.toFixed(1)} frames/s, latency p50 ${r.latency_ms.p50.toFixed(0)} ms, p95 `+
`${r.latency_ms.p95.toFixed(0)} ms, ${r.frames.dropped} dropped `+
`(${r.frames.dropped_by_cause.busy} busy, ${r.frames.dropped_by_cause.stale} stale), `+
`${r.backend} ${r.precision} on ${r.device}`
}catch{line.textContent="the stream has ended"}};tick();setInterval(tick,1000)</script></html>"""


class Page:
    """An MJPEG page at `url`. Encodes a picture only while somebody watches.

    Args:
        report: called for /report.json.
        port: 0 picks a free one.
        host: address to listen on.

    Raises:
        SinkError: the port is taken.
    """

    def __init__(
        self, report: Callable[[], dict[str, Any]], *, port: int = 8000, host: str = "127.0.0.1"
    ) -> None:
        self._jpeg = b""
        self._number = 0
        self._viewers = 0
        self._closed = False
        self._changed = threading.Condition()
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(self, report))
        except OSError as error:
            raise SinkError(
                f"cannot listen on {host}:{port}: {error.strerror}; pass --port"
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="streamseg-page", daemon=True
        )
        self._thread.start()

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Publish H x W x 3 uint8 BGR; True, as `view.Window.show`."""
        if self._viewers:
            import cv2

            _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 80))
            with self._changed:
                self._jpeg = jpeg.tobytes()
                self._number += 1
                self._changed.notify_all()
        return True

    def pictures(self) -> Any:
        """Yield JPEG bytes as they are published, until the page is closed."""
        with self._changed:
            self._viewers += 1
        seen = -1
        try:
            while True:
                with self._changed:
                    if self._number == seen and not self._closed:
                        self._changed.wait(IDLE_SECONDS)
                    if self._closed:
                        return
                    seen, jpeg = self._number, self._jpeg
                if jpeg:
                    yield jpeg
        finally:
            with self._changed:
                self._viewers -= 1

    def close(self) -> None:
        """Stop serving. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _handler(page: Page, report: Callable[[], dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._send("text/html; charset=utf-8", HTML)
            elif self.path == "/report.json":
                self._send("application/json", json.dumps(report()).encode())
            elif self.path == "/stream.mjpg":
                self._stream()
            else:
                self.send_error(404)

        def _send(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def _stream(self) -> None:
            self.send_response(200)
            kind = f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}"
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            try:
                for jpeg in page.pictures():
                    head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                    self.wfile.write(head % (BOUNDARY, len(jpeg)) + jpeg + b"\r\n")
            except OSError:
                pass  # the viewer left

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
