"""Questions to the person behind the client: for arguments that are missing, and whether the call may start.

Since 2026-07-28 a question is the result of the call, which the client repeats with the answer. What was asked and
answered so far comes back as `requestState`, which the SDK's `RequestStateBoundary` seals: it is bound to the tool and
its arguments, and expires. Before that, the question is a request of the server's own while the call stays open.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mcp import types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from cmdtool.argv import Resolve
from cmdtool.errors import ArgumentError, MissingArgumentsError
from cmdtool.model import JSONValue, Tool
from cmdtool.reporter import Reporter
from cmdtool.run import Call, prepare
from cmdtool.schema import form_property
from cmdtool.server.callers import Context
from cmdtool.server.capabilities import missing_capability
from cmdtool.server.results import refused_result
from cmdtool.text import clean_line

_ELICITATION_SINCE: Final = "2025-06-18"
_ROUNDS_SINCE: Final = "2026-07-28"


class WithheldError(Exception):
    """The call cannot start, or not yet: `result` is what the client is sent."""

    def __init__(self, result: types.CallToolResult | types.InputRequiredResult) -> None:
        super().__init__()
        self.result = result


async def settle(
    tool: Tool, ctx: Context, params: types.CallToolRequestParams, resolve: Resolve, reporter: Reporter | None
) -> Call:
    """Return the call, ready to start, once the person has answered all that there is to ask.

    Raises:
        WithheldError: a question is open, or the person said no.
        MCPError: the client declared no means to ask the person (-32021, since 2026-07-28).
        ArgumentError, StartError: as `prepare`.
    """
    asking = _Asking(ctx, params, reporter)
    arguments = params.arguments or {}
    missing = None
    try:
        call = prepare(tool, {**arguments, **asking.given}, resolve)
    except MissingArgumentsError as exc:
        missing = exc
    names = [
        name
        for name, argument in tool.arguments.items()
        if (missing and name in missing.names)
        or (
            argument.ask
            and arguments.get(name) is None
            and name not in asking.given
            and form_property(argument, ctx.protocol_version)
        )
    ]
    form = _form(tool, names, ctx.protocol_version) if names and asking.is_possible else None
    if form:
        content = (await asking.ask(form)).content or {}
        asking.given |= {name: content.get(name) for name in names}
        call = prepare(tool, {**arguments, **asking.given}, resolve)
    elif missing:
        raise missing
    if tool.confirm and call.question and (asking.is_possible or tool.confirm.otherwise == "refuse"):
        await asking.ask(_Question("confirm", call.question, {"type": "object", "properties": {}}))
    return call


@dataclass(frozen=True, slots=True)
class _Question:
    """One form: `schema` is an object of simple values, empty where yes or no is all there is to say."""

    key: str
    message: str
    schema: dict[str, JSONValue]
    must_be_asked: bool = True
    """Whether an answer counts only after the question: not where the client may say the same without being asked."""

    @property
    def digest(self) -> str:
        """Tells this question from any other, so that an answer counts only for what was asked."""
        return hashlib.sha256(json.dumps([self.key, self.message, self.schema]).encode()).hexdigest()


def _form(tool: Tool, names: Sequence[str], protocol_version: str) -> _Question | None:
    """Return what asks for arguments, None if one of them is not to be asked for, or cannot be in a form."""
    asked = {name: tool.arguments[name] for name in names}
    properties = {name: form_property(argument, protocol_version) for name, argument in asked.items()}
    if None in properties.values() or not all(tool.ask or argument.ask for argument in asked.values()):
        return None
    message = (
        f"{clean_line(tool.title or tool.name)} needs {'this' if len(names) == 1 else 'these'}: {', '.join(names)}"
    )
    required = [name for name, argument in asked.items() if argument.is_required]
    schema: dict[str, JSONValue] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return _Question("_".join(names), message, schema, must_be_asked=False)


class _Asking:
    """How the person behind the client of one request is asked, and what was answered in earlier rounds."""

    def __init__(self, ctx: Context, params: types.CallToolRequestParams, reporter: Reporter | None) -> None:
        self._ctx = ctx
        self._reporter = reporter
        self._has_rounds = ctx.protocol_version >= _ROUNDS_SINCE
        self._answers = (params.input_responses or {}) if self._has_rounds else {}
        # The boundary lets through only what an earlier round returned for the same call.
        state = json.loads(params.request_state) if self._has_rounds and params.request_state else {}
        self.given: dict[str, JSONValue] = state.get("given", {})
        """The arguments that the person was asked for; None where there was no answer."""
        self._asked = state.get("asked")

    @property
    def is_possible(self) -> bool:
        """Whether the client has said that it can ask. `elicitation: {}` means forms (2025-11-25, elicitation)."""
        declared = self._ctx.session.client_capabilities
        means = declared.elicitation if declared else None
        has_forms = means is not None and (means.form is not None or means.url is None)
        is_open = self._has_rounds or self._ctx.session.can_send_request
        return has_forms and is_open and self._ctx.protocol_version >= _ELICITATION_SINCE

    async def ask(self, question: _Question) -> types.ElicitResult:
        """Return what the person answered, if that is not no.

        Raises:
            WithheldError, MCPError: as `settle`.
        """
        if not self.is_possible:
            raise self._impossible()
        answer = self._answer(question) if self._has_rounds else await self._elicit(question)
        if answer.action != "accept":
            did = "said no" if answer.action == "decline" else "did not answer"
            raise _withheld(f"not confirmed: the person {did}; nothing was started")
        return answer

    def _answer(self, question: _Question) -> types.ElicitResult:
        answer = self._answers.get(question.key)
        was_asked = self._asked == question.digest or not question.must_be_asked
        if was_asked and isinstance(answer, types.ElicitResult):
            return answer
        form = types.ElicitRequestFormParams(message=question.message, requested_schema=question.schema)
        state = json.dumps({"given": self.given, "asked": question.digest})
        requests: types.InputRequests = {question.key: types.ElicitRequest(params=form)}
        raise WithheldError(types.InputRequiredResult(input_requests=requests, request_state=state))

    async def _elicit(self, question: _Question) -> types.ElicitResult:
        self._say("waiting for the person to answer")
        try:
            answer = await self._ctx.session.elicit_form(question.message, question.schema, self._ctx.request_id)
        except (MCPError, ValidationError) as exc:
            raise _withheld("not confirmed: the client could not ask the person; nothing was started") from exc
        self._say("answered")
        return answer

    def _say(self, message: str) -> None:
        if self._reporter:
            self._reporter.say(message)
            self._reporter.hear(message.encode())  # what signs of life repeat

    def _impossible(self) -> Exception:
        message = "not confirmed: this tool asks the person first, and the client cannot ask; nothing was started"
        if not self._has_rounds:
            return _withheld(message)
        means = types.ElicitationCapability(form=types.FormElicitationCapability())
        return missing_capability(message, types.ClientCapabilities(elicitation=means))


def _withheld(message: str) -> WithheldError:
    return WithheldError(refused_result(ArgumentError(message)))
