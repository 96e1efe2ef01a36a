"""A server on the web, on a free port of this machine: files with ranges, and what servers do besides."""

import base64
import re
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD, TOKEN = "ada", "pa55/word@ada", "0123456789abcdefTOKEN"


class Web:
    """`files` are what is there, by path. Below /private/ it wants a password, below /signed/ a token; below /whole/ it
    sends no ranges, and below /mute/ it does not say how long a file is. `asked` are (method, path, bytes sent)."""

    def __init__(self):
        self.files = {}
        self.asked = []
        self._tags = {}  # content → (itself, so that its id stays its own, its digest)
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, *, body):
                path, _, query = self.path.partition("?")
                status, headers, data = web.answer(path, query, self.headers)
                web.asked.append((self.command, path, len(data) if body else 0))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if body:
                    try:
                        self.wfile.write(data)
                    except ConnectionError:
                        self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def host(self):
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self):
        return f"http://{self.host}"

    @property
    def sent(self):
        """How many bytes of content it has sent."""
        return sum(count for _, _, count in self.asked)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def tag(self, data):
        if id(data) not in self._tags:
            self._tags[id(data)] = data, f'"{sha256(data).hexdigest()[:16]}"'
        return self._tags[id(data)][1]

    def answer(self, path, query, headers):
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if path.startswith("/private/") and headers.get("Authorization") != wanted:
            return 401, {"WWW-Authenticate": 'Basic realm="films"', "Content-Length": "0"}, b""
        if path.startswith("/signed/") and f"X-Amz-Signature={TOKEN}" not in query:
            return 403, {"Content-Length": "0"}, b""
        if path.endswith("/"):
            links = "".join(f'<a href="{name[len(path) :]}">.</a>' for name in self.files if name.startswith(path))
            page = f"<html>{links}<a href='../'>up</a></html>".encode()
            return 200, {"Content-Type": "text/html", "Content-Length": str(len(page))}, page
        if path not in self.files:
            return 404, {"Content-Length": "0"}, b""
        data = self.files[path]
        about = {"ETag": self.tag(data), "Last-Modified": "Mon, 02 Mar 2026 10:00:00 GMT"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("Range", ""))
        if path.startswith("/mute/"):
            return 200, {**about, "Connection": "close"}, data
        if asked is None or path.startswith("/whole/"):
            return 200, {**about, "Content-Length": str(len(data))}, data
        first, last = int(asked[1]), int(asked[2] or len(data) - 1)
        part = data[first : last + 1]
        named = {
            "Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(data)}",
            "Content-Length": str(len(part)),
        }
        return 206, {**about, **named}, part
