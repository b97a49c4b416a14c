"""A token endpoint of OAuth 2.0 that misbehaves as told, for tests.

    fake_token_endpoint.py DIR [CERTIFICATE KEY]

Gives tokens (JWT) to the client "app" with the secret "right", on a port of 127.0.0.1
that it writes to DIR/port; with a certificate by TLS.  A token is unsecured ("alg":
"none") or signed by a key of DIR; GET /keys gives DIR/keys.json, by which a broker checks
signatures.
DIR/mode says how, and is read for each request:

    ok SECONDS [no-scope] [claim | text] [signed-by=KEY]
                    a token that lives so long; of no scope, which the broker refuses;
                    without expires_in; with expires_in as text; signed by DIR/KEY
    error N CODE    HTTP status N with one of OAuth's error codes
    expired         a token of the past

and what fake_registry.py does as well: status, redirect, garbage, page, cut, hang, large.
The form of each request is a line of DIR/requests.  It ends with the process that has
started it.
"""
import base64
import json
import subprocess
import time
import urllib.parse

import fake_registry


def encode(document):
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def make_token(lifetime, scope, key):
    now = int(time.time())
    claims = {"sub": "app", "iat": now - 1, "exp": now + lifetime, "scope": scope, "secret": "secret-claim"}
    if key is None:
        return encode({"alg": "none"}) + "." + encode(claims) + "."
    signed = encode({"alg": "RS256", "kid": "key"}) + "." + encode(claims)
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", fake_registry.path_of(key)],
                               input=signed.encode(), capture_output=True, check=True).stdout
    return signed + "." + base64.urlsafe_b64encode(signature).decode().rstrip("=")


class Handler(fake_registry.Handler):
    def answer_with_token(self, form, words):
        lifetime = int(words[0])
        key = next((word.split("=")[1] for word in words if word.startswith("signed-by=")), None)
        token = make_token(lifetime, [] if "no-scope" in words else form.get("scope", []), key)
        document = {"access_token": token, "token_type": "Bearer"}
        if "claim" not in words:
            document["expires_in"] = str(lifetime) if "text" in words else lifetime
        self.answer_document(200, document)

    def do_GET(self):
        with open(fake_registry.path_of("keys.json"), encoding="utf-8") as file:
            self.answer_document(200, json.load(file))

    def do_POST(self):
        form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        with open(fake_registry.path_of("requests"), "a", encoding="utf-8") as file:
            file.write(form + "\n")
        with open(fake_registry.path_of("mode"), encoding="utf-8") as file:
            words = file.read().split()
        given = base64.b64decode(self.headers.get("Authorization", "Basic ").split()[-1]).decode()
        form = urllib.parse.parse_qs(form)
        if words[0] not in ("ok", "error", "expired"):
            self.misbehave(words[0], words[1:])
        elif words[0] == "error":
            self.answer_document(int(words[1]), {"error": words[2], "error_description": "secret words"})
        elif given != "app:right" or form.get("grant_type") != ["client_credentials"]:
            self.answer_document(401, {"error": "invalid_client"})
        elif words[0] == "expired":
            self.answer_with_token(form, ["-5"])
        else:
            self.answer_with_token(form, words[1:])


if __name__ == "__main__":
    fake_registry.serve(Handler)
