"""A camera that speaks RTSP: one H.264 stream, over the TCP connection itself, behind a user's name and a password."""

import base64
import http.client
import io
import re
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import av

_CLOCK = 90_000  # ticks of RTP's time stamps in a second
_SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=gate
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=control:video
""".replace("\n", "\r\n")


class Camera(socketserver.ThreadingTCPServer):
    """Plays a transport stream in real time to whoever asks, from its beginning; the first second at once.

    Args:
        ts: whose video is H.264.
        port: 0 takes a free one, which is in ``server_address``.
        until_s: of the video; then the camera goes away.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, ts: bytes, user: str, password: str, port: int = 0, until_s: float = float("inf")) -> None:
        super().__init__(("127.0.0.1", port), _Session)
        self.ts = ts
        self.until_s = until_s
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.began: list[float] = []  # Unix times of the streams' first frames
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the recorder went away


class _Session(socketserver.StreamRequestHandler):
    server: Camera

    def handle(self) -> None:
        while line := self.rfile.readline():
            method, headers = line.split()[0].decode(), http.client.parse_headers(self.rfile)
            if headers.get("Authorization") != self.server.authorization:
                self._reply("401 Unauthorized", headers, {"WWW-Authenticate": 'Basic realm="camera"'})
            elif method == "DESCRIBE":
                self._reply("200 OK", headers, {"Content-Type": "application/sdp"}, _SDP)
            elif method == "SETUP":
                self._reply("200 OK", headers, {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"})
            else:
                self._reply("200 OK", headers, {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN", "Session": "1"})
            if method == "PLAY":
                self._play()
                return

    def _reply(self, status: str, asked: Any, facts: dict[str, str], body: str = "") -> None:
        said = {"CSeq": asked["CSeq"], **facts, "Content-Length": str(len(body))}
        lines = [f"RTSP/1.0 {status}", *(f"{key}: {value}" for key, value in said.items()), "", body]
        self.wfile.write("\r\n".join(lines).encode())

    def _play(self) -> None:
        began = time.time() - 1
        self.server.began.append(began)
        for number, (stamp, last, unit) in enumerate(_units(self.server.ts)):
            due_s = stamp / _CLOCK
            if due_s > self.server.until_s:
                self.server.close()
                return
            time.sleep(max(0.0, began + due_s - time.time()))
            packet = struct.pack(">BBHII", 0x80, 96 | last << 7, number & 0xFFFF, stamp + 1_000_000, 1) + unit
            self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)


def _units(ts: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """NAL units, each with its picture's time, and whether it is the last of it."""
    with av.open(io.BytesIO(ts), "r") as container:
        zero = container.streams.video[0].start_time or 0
        for packet in container.demux(video=0):
            if packet.pts is not None:
                units = [unit for unit in re.split(b"\0*\0\0\1", bytes(packet)) if unit]
                for unit in units:
                    yield packet.pts - zero, unit is units[-1], unit
