# SPDX-License-Identifier: Apache-2.0
"""An application behind httpd: what it answers is in the query, and it can be made to wait.

    status=401    the status; default 200
    size=1000     bytes of the body
    cost=7        the field X-Cost
    sleep=0.1     seconds before the answer
    wait=name     waits until open(name)
    echo=1        the body is the request's fields, as JSON"""

import http.server
import json
import threading
import urllib.parse


class Application(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.opened = set()
        self.inside = {}   # gate -> how many wait at it
        self.count = 0     # requests so far
        self.port = self.server_address[1]
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def open(self, gate):
        with self.changed:
            self.opened.add(gate)
            self.changed.notify_all()

    def wait_at(self, gate):
        with self.changed:
            self.inside[gate] = self.inside.get(gate, 0) + 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: gate in self.opened, 60)

    def wait_for_waiters(self, gate, n):
        """Returns when |n| requests wait at a gate."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.inside.get(gate, 0) >= n, 20), self.inside

    def handle_error(self, request, client_address):
        pass  # clients that leave are what tests make

    def stop(self):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        with self.server.lock:
            self.server.count += 1
        if "wait" in query:
            self.server.wait_at(query["wait"])
        if "sleep" in query:
            threading.Event().wait(float(query["sleep"]))
        body = b"x" * int(query.get("size", 4))
        if "echo" in query:
            body = json.dumps(self.headers.items()).encode()
        self.send_response(int(query.get("status", 200)))
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if "cost" in query:
            self.send_header("X-Cost", query["cost"])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_GET
