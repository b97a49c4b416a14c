"""A schema registry that misbehaves as told, for tests.

    fake_registry.py DIR [CERTIFICATE KEY]

Serves the schemas in DIR/schemas.json, an object of schemas by their ids, or by subject
and version as in "orders/1", as Confluent's API has them, or version 3 of Apicurio's, by
group, artifact and version; on a port of 127.0.0.1 that it writes to DIR/port; with a
certificate by TLS.  DIR/mode says how, or DIR/mode.ID for one schema; they are read for
each request:

    ok              as a registry does
    status N [S]    HTTP status N, with a Retry-After of S seconds
    away            404 without an error code
    unknown         404 with Confluent's error code for an id that is not there
    redirect URL    302 to there
    garbage         bytes that are no document, with status 200
    page            a web page with status 200
    cut             the connection ends within the answer
    hang            no answer
    large           an answer without end

Each request is a line of DIR/requests: the path and the header Authorization.  It
ends with the process that has started it.
"""
import http.server
import json
import os
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse

directory = sys.argv[1]
parent = os.getppid()


def path_of(name):
    return os.path.join(directory, name)


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_document(self, status, document):
        self.answer(status, json.dumps(document).encode(), [("Content-Type", "application/json")])

    def name(self):
        """What is asked for: an id, or subject and version."""
        steps = self.path.partition("?")[0].split("/")
        if len(steps) > 4 and steps[-4] == "subjects":
            return urllib.parse.unquote(steps[-3], errors="strict") + "/" + steps[-1]
        return steps[-1]

    def answer_as_apicurio(self):
        steps = [urllib.parse.unquote(step) for step in self.path.partition("?")[0].split("/")]
        place = steps.index("v3") + 1
        if steps[place] == "groups":
            name, part = "/".join(steps[place + 1:place + 6:2]), steps[place + 6:]
        else:
            name, part = steps[place + 2], steps[place + 3:] or ["content"]
        with open(path_of("schemas.json"), encoding="utf-8") as file:
            schema = json.load(file).get(name)
        if schema is None:
            self.answer_document(404, {"name": "ArtifactNotFoundException", "detail": "secret"})
        elif part == ["references"]:
            self.answer_document(200, schema.get("references", []))
        elif part == ["content"]:
            self.answer(200, schema["schema"].encode(), [("Content-Type", "application/octet-stream")])
        else:
            self.answer_document(200, {"version": steps[-1]})

    def answer_as_registry(self):
        with open(path_of("schemas.json"), encoding="utf-8") as file:
            schema = json.load(file).get(self.name())
        if schema is None and "/subjects/" in self.path:
            self.answer_document(404, {"error_code": 40401, "message": "Subject not found: secret"})
        elif schema is None:
            self.answer_document(404, {"error_code": 40403, "message": "Schema not found"})
        elif isinstance(schema, dict) and "schema" in schema:
            self.answer_document(200, schema)
        else:
            self.answer_document(200, {"schema": json.dumps(schema)})

    def misbehave(self, mode, arguments):
        if mode == "status":
            headers = [("Retry-After", arguments[1])] if len(arguments) > 1 else []
            self.answer(int(arguments[0]), b"secret words of the registry", headers)
        elif mode == "away":
            self.answer_document(404, {"error_code": 0, "message": "no such path"})
        elif mode == "unknown":
            self.answer_document(404, {"error_code": 40403, "message": "Schema not found"})
        elif mode == "redirect":
            self.answer(302, b"", [("Location", arguments[0])])
        elif mode == "garbage":
            self.answer(200, b"\xff\x00secret words\x1b[31m")
        elif mode == "page":
            self.answer(200, b"<html>sign in</html>", [("Content-Type", "text/html")])
        elif mode == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"schema": "')
            self.close_connection = True
        elif mode == "hang":
            time.sleep(600)
        elif mode == "large":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"schema": "')
            while True:
                self.wfile.write(b"x" * 65536)

    def do_GET(self):
        with open(path_of("requests"), "a", encoding="utf-8") as file:
            file.write("%s %s\n" % (self.path, self.headers.get("Authorization", "-")))
        name = "mode." + self.name().replace("/", "_")
        if not os.path.exists(path_of(name)):
            name = "mode"
        with open(path_of(name), encoding="utf-8") as file:
            words = file.read().split()
        if words[0] == "ok" and "/v3/" in self.path:
            self.answer_as_apicurio()
        elif words[0] == "ok":
            self.answer_as_registry()
        else:
            self.misbehave(words[0], words[1:])

    def log_message(self, format, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


def end_with_parent():
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(0)


def serve(handler):
    server = Server(("127.0.0.1", 0), handler)
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=end_with_parent, daemon=True).start()
    with open(path_of("port.new"), "w", encoding="utf-8") as port:
        port.write(str(server.server_address[1]))
    os.rename(path_of("port.new"), path_of("port"))
    server.serve_forever()


if __name__ == "__main__":
    serve(Handler)
