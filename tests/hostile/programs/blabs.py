"""Prints the secret in its environment in every form, also in pieces, as progress, and on standard error."""

import base64
import json
import os
import sys
import time
import urllib.parse

secret = os.environ["API_TOKEN"]
print("plain", secret)
for character in secret:
    os.write(1, character.encode())
    time.sleep(0.01)
print()
for before in ("", "a", "ab"):
    print("base64", base64.b64encode((before + secret + "tail").encode()).decode())
print("url", urllib.parse.quote(secret, safe=""))
print("json", json.dumps({"token": secret}))
for percent in range(0, 100, 20):
    print(f"{percent}% with {secret}", flush=True)
    time.sleep(0.12)
print("x" * 65_000, secret, "x" * 70_000)
print("error", secret, file=sys.stderr)
