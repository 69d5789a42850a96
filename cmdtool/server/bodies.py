"""Reads the body of a request over HTTP as `wire.py` reads a line, so that what is no message is answered alike."""

from dataclasses import replace

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmdtool.server.messages import Refusal, read_message


class OneMessage:
    """An ASGI application to which nothing is posted but one message; the body has to come in one piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" or not _is_json(scope):  # the SDK refuses what is posted as anything else
            return await self._app(scope, receive, send)
        received = [await receive()]
        if received[0]["type"] == "http.request":
            found = read_message(received[0]["body"])
            if isinstance(found, Refusal):
                return await _bad_request(found)(scope, receive, send)

        async def replay() -> Message:
            return received.pop() if received else await receive()

        await self._app(scope, replay, send)


def _is_json(scope: Scope) -> bool:
    kinds = Headers(scope=scope).get("content-type", "").partition(";")[0].split(",")
    return "application/json" in (kind.strip() for kind in kinds)


def _bad_request(refusal: Refusal) -> Response:
    """Return the answer: over HTTP a notification has one, too."""
    answer = replace(refusal, is_answered=True).answer()
    assert answer is not None
    return Response(answer.model_dump_json(by_alias=True, exclude_unset=True), 400, media_type="application/json")
