"""The manifest as frozen values, and at the same time its schema.

`ManifestFile` is one YAML file as written; the package `manifest` makes a `Manifest` of one or more of them, in which
every `Tool` is complete: defaults merged, its parser resolved, its implicit arguments written out. Nothing after the
loader checks types, defaults or key names again.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    InstanceOf,
    RootModel,
    StrictBool,
    StrictInt,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from cmdtool.errors import BadValue
from cmdtool.shellwords import split_command
from cmdtool.template import Template
from cmdtool.values import describe, parse_duration, parse_size, quoting_hint

JSONValue: TypeAlias = Any
"""A value as `json.loads` gives it."""

Stream: TypeAlias = Literal["stdout", "stderr"]
STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr")

TOOL_NAME: Final = r"[A-Za-z0-9_.-]{1,128}"
"""Names that MCP allows (2026-07-28, tools, "Tool Names")."""

PARSER_NAME: Final = r"[a-z][a-z0-9_-]*"
HOLE_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"


class Model(BaseModel):
    """A frozen mapping of known keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, value: object) -> object:
        """Name all unknown keys at once, and the model: pydantic's own error knows neither what else there is."""
        unknown = [key for key in value if key not in known_keys(cls)] if isinstance(value, Mapping) else []
        if unknown:
            raise PydanticCustomError("unknown_keys", "unknown keys", {"keys": unknown, "model": cls})
        return value


def known_keys(model: type[BaseModel]) -> list[str]:
    """Return the keys that a mapping of this model may have."""
    return [field.alias or name for name, field in model.model_fields.items()]


# --- short forms, in the JSON Schema --------------------------------------------------------------------------------


class _OrText:
    """Text is accepted besides."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(core)]}


class _OrOne:
    """One entry is accepted in place of a list of one."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        entries = handler(core)
        return {"anyOf": [entries["items"], entries]}


class _OrBoolean:
    """`true` and `false` are accepted besides."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, handler(core)]}


class _OrRules:
    """A list of rules is accepted in place of a mapping with that list."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        progress = handler(core)
        rules = handler.resolve_ref_schema(progress)["properties"]["rules"]
        return {"anyOf": [rules["anyOf"][-1], progress]}


# --- scalars ---------------------------------------------------------------------------------------------------------


def _no_timeout(value: object) -> object:
    return None if value == "none" else parse_duration(value)


def _no_size(value: object) -> object:
    return None if value == "none" else parse_size(value)


def _no_count(value: object) -> object:
    return None if value == "none" else value


def _word(value: object) -> object:
    """A whole number is taken as the text it is written with: `[sleep, 10]`."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _template(value: object) -> Template:
    if isinstance(value, Template):
        return value
    value = _word(value)
    if isinstance(value, str):
        return Template.parse(value)
    raise BadValue(f"expected text, found {describe(value)}", quoting_hint(value))


_QUANTITY_SCHEMA: Final = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}
_COUNT_SCHEMA: Final = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "none"}]}
_WORD_SCHEMA: Final = {"type": ["string", "integer"]}

Duration = Annotated[float, BeforeValidator(parse_duration), WithJsonSchema(_QUANTITY_SCHEMA)]
Timeout = Annotated[float | None, BeforeValidator(_no_timeout), WithJsonSchema(_QUANTITY_SCHEMA)]
Size = Annotated[int, BeforeValidator(parse_size), WithJsonSchema(_QUANTITY_SCHEMA)]
MaybeSize = Annotated[int | None, BeforeValidator(_no_size), WithJsonSchema(_QUANTITY_SCHEMA)]
TemplateText = Annotated[InstanceOf[Template], BeforeValidator(_template), WithJsonSchema(_WORD_SCHEMA)]
Positive = Annotated[StrictInt, Field(ge=1)]
MaybeCount = Annotated[Positive | None, BeforeValidator(_no_count), WithJsonSchema(_COUNT_SCHEMA)]


# --- commands --------------------------------------------------------------------------------------------------------


def _element_kind(value: object) -> str:
    if isinstance(value, Mapping | Choice):
        return "choice" if isinstance(value, Choice) or "if" in value else "text"
    return "group" if isinstance(value, list | tuple | Group) else "text"


def _one_or_more(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


class Choice(Model):
    """`{if: NAME, then: ..., else: ...}`: elements that depend on whether an argument is true (or given)."""

    condition: Annotated[str, Field(alias="if", description="Name of an argument.")]
    then: Annotated[tuple["Element", ...], BeforeValidator(_one_or_more), _OrOne()]
    otherwise: Annotated[tuple["Element", ...], BeforeValidator(_one_or_more), Field(alias="else"), _OrOne()] = ()


class Group(RootModel[tuple["Element", ...]]):
    """A nested list: left out as a whole when an argument in it was not given."""

    model_config = ConfigDict(frozen=True)


Element = Annotated[
    Annotated[TemplateText, Tag("text")] | Annotated[Choice, Tag("choice")] | Annotated[Group, Tag("group")],
    Discriminator(_element_kind),
]
"""One element of a command: text with holes, a choice or a group."""


def _words(value: object) -> object:
    return split_command(value) if isinstance(value, str) else value


Command = Annotated[
    tuple[Element, ...],
    BeforeValidator(_words),
    Field(min_length=1),
    _OrText(),
]
"""A command line: text split by POSIX quoting rules, or a list of elements. The first one is the program."""


# --- arguments -------------------------------------------------------------------------------------------------------


def _argument_schema(schema: dict[str, Any]) -> None:
    """Make the schema of an argument one of JSON Schemas, and refuse keys that have no meaning here."""
    del schema["additionalProperties"]
    schema["allOf"] = [{"$ref": "https://json-schema.org/draft/2020-12/schema"}]
    schema["patternProperties"] = {
        "^x-|^enumNames$": True,
        r"^\$(?!comment$)|^patternProperties$|^unevaluated": False,
    }
    schema["unevaluatedProperties"] = False


class Argument(BaseModel):
    """One argument of a tool: cmdtool's own keys, and in `model_extra` the JSON Schema property as written."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        json_schema_extra=_argument_schema,
    )

    optional: Annotated[StrictBool, Field(description="May be left out.")] = False
    allow_dash: Annotated[StrictBool, Field(description="May begin with `-`.")] = False
    within: Annotated[
        tuple[str, ...],
        BeforeValidator(_one_or_more),
        _OrOne(),
        Field(description="Folders that a path must lie in."),
    ] = ()
    must_exist: Annotated[StrictBool, Field(description="The path must exist.")] = False
    secret: Annotated[StrictBool, Field(description="Never part of a command line, and masked in all output.")] = False
    ask: Annotated[
        StrictBool, Field(description="Ask the person for it where the call does not give it, default or not.")
    ] = False

    @property
    def property_schema(self) -> Mapping[str, JSONValue]:
        """The JSON Schema of the value (draft 2020-12), without cmdtool's own keys."""
        return self.model_extra or {}

    @property
    def is_path(self) -> bool:
        return self.property_schema.get("format") == "path"

    @property
    def is_required(self) -> bool:
        return not self.optional and "default" not in self.property_schema


# --- progress --------------------------------------------------------------------------------------------------------


class Counted(Model):
    """A total that a command prints while the tool runs: the first number of its last line."""

    command: Command | None = None
    shell: str | None = None


def _total_kind(value: object) -> str:
    if isinstance(value, Mapping | Counted):
        return "counted"
    return "argument" if isinstance(value, str | Template) else "number"


Total = Annotated[
    Annotated[float, Field(gt=0, strict=True), Tag("number")]
    | Annotated[TemplateText, Tag("argument")]
    | Annotated[Counted, Tag("counted")],
    Discriminator(_total_kind),
]


def _rule(value: object) -> object:
    return {"pattern": value} if isinstance(value, str) else value


class Rule(Model):
    """A pattern and what its groups, and the rule itself, set in the state that is the progress."""

    pattern: Annotated[str, Field(max_length=1000, description="An RE2 pattern; write it in single quotes.")]
    stream: Stream | None = None
    stage: str | None = None
    message: TemplateText | None = None
    total: Total | None = None
    start: StrictBool = False
    skip: StrictBool = False


Rules = Annotated[
    tuple[Annotated[Rule, BeforeValidator(_rule), _OrText()], ...], BeforeValidator(_one_or_more), _OrOne()
]
Stages = Annotated[dict[str, Annotated[float, Field(gt=0, strict=True)]], Field(min_length=1)]


AUTO: Final = "auto"
"""The parser's name that stands for reading what nobody described; what a tool without `progress` has."""

NONE: Final = "none"
"""The parser's name that stands for no readings at all."""


def _progress(value: object) -> object:
    if isinstance(value, str):
        is_name = value and re.fullmatch(PARSER_NAME, value)
        return {"parser": value} if is_name else {"rules": [value]}
    return {"rules": value} if isinstance(value, list | tuple) else value


class ProgressSpec(Model):
    """How progress is read from what a command prints; every short form is normalised to this one."""

    parser: Annotated[str, Field(pattern=f"^{PARSER_NAME}$")] | None = None
    rules: Rules = ()
    stages: Stages | None = None
    total: Total | None = None
    bars: Annotated[StrictBool, Field(description="The records are bars, and several may be drawn at once.")] = False
    interval: Annotated[Duration, Field(ge=0.1)] = 0.1
    heartbeat: Duration = 10.0

    @property
    def counted_totals(self) -> tuple[Counted, ...]:
        """The totals that a command counts: those of the rules, then its own, each once."""
        totals = [*(rule.total for rule in self.rules), self.total]
        return tuple(dict.fromkeys(total for total in totals if isinstance(total, Counted)))


class Progress(ProgressSpec):
    """A progress that is complete: the rules of its parser stand behind its own."""

    detects: bool = False
    """Whether what the rules do not read is read by `auto`."""


ProgressForm = Annotated[ProgressSpec, BeforeValidator(_progress), _OrRules(), _OrText()]


class ParserFile(Model):
    """A built-in parser: one YAML file in `cmdtool/parsers/`."""

    about: str
    matches: tuple[str, ...] = ()
    sample: str
    hint: str | None = None
    needs: tuple[str, ...] = ()
    """Options, or `pty` for a terminal; the program says nothing unless one of them is given."""
    launches: StrictBool = False
    """Whether it runs other programs, whose output `auto` reads where the rules read nothing."""
    rules: Rules
    stages: Stages | None = None
    bars: StrictBool = False


# --- tools -----------------------------------------------------------------------------------------------------------


class Terminal(Model):
    """What a command runs under: a pseudo-terminal for each of its streams, of one size in characters."""

    columns: Annotated[StrictInt, Field(ge=1, le=1000)] = 80
    rows: Annotated[StrictInt, Field(ge=1, le=1000)] = 24
    controlling: Annotated[Stream, Field(description="The stream whose terminal is `/dev/tty`.")] = "stdout"


def _terminal(value: object) -> object:
    if isinstance(value, bool):
        return Terminal() if value else None
    return value


class Limits(Model):
    """What a run may use: `cpu` (seconds), `memory` (bytes) and `processes` together with all that the command starts.

    `file_size` (bytes) and `open_files` hold for each process. None is no limit.
    """

    cpu: Timeout = None
    memory: MaybeSize = None
    processes: MaybeCount = None
    file_size: MaybeSize = None
    open_files: MaybeCount = None

    @property
    def are_set(self) -> bool:
        """Whether there is any limit."""
        return any(value is not None for _, value in self)

    @property
    def hold_a_run(self) -> bool:
        """Whether there is a limit on what a run uses as a whole."""
        return any(value is not None for value in (self.cpu, self.memory, self.processes))


class Sandbox(Model):
    """What a command may reach. An entry is a path of the manifest, or a hole: an argument that is a path."""

    network: Annotated[StrictBool, Field(description="Whether there is a network.")] = True
    read: Annotated[
        Annotated[tuple[TemplateText, ...], _OrOne()] | None,
        BeforeValidator(_one_or_more),
        Field(description="All that can be seen beside the system's own programs; everything without this key."),
    ] = None
    write: Annotated[
        tuple[TemplateText, ...],
        BeforeValidator(_one_or_more),
        _OrOne(),
        Field(description="All that can be written to beside a temporary folder."),
    ] = ()


def _sandbox(value: object) -> object:
    if isinstance(value, bool):
        return Sandbox() if value else None
    return value


TEXT_LIMIT: Final = 64 * 1024
"""Bytes of output in a result that is text for the model, unless the manifest says otherwise."""

DATA_LIMIT: Final = 1024 * 1024
"""The same where the result is data: JSON that was cut cannot be read."""


def _output(value: object) -> object:
    return {"format": value} if isinstance(value, str) else value


class Output(Model):
    """What of a command's output the result holds, in which form, and which files it made."""

    format: Literal["text", "json", "lines"] = "text"
    stream: Literal["both", "stdout", "stderr"] = "both"
    bytes_at_most: Annotated[Size | None, Field(alias="limit")] = None
    data_schema: Annotated[
        dict[str, JSONValue] | None, Field(alias="schema", description="JSON Schema of the result, or of one line.")
    ] = None
    files: Annotated[tuple[TemplateText, ...], BeforeValidator(_one_or_more), _OrOne()] = ()
    embed: Annotated[StrictBool, Field(description="Put small text files that were made into the result.")] = False
    spool: Annotated[StrictBool, Field(description="Keep the whole output for a day, for clients to read.")] = True

    @property
    def limit(self) -> int:
        """The most bytes of output in a result, both streams together."""
        return self.bytes_at_most or (TEXT_LIMIT if self.format == "text" else DATA_LIMIT)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that the result of a success holds; data is read from one of them."""
        if self.stream == "both":
            return STREAMS if self.format == "text" else ("stdout",)
        return (self.stream,)


def _confirm(value: object) -> object:
    return {"message": value} if isinstance(value, str) else value


class Confirm(Model):
    """What the person is asked before a call starts."""

    message: TemplateText
    otherwise: Annotated[
        Literal["refuse", "allow"], Field(description="What happens where the client cannot ask anybody.")
    ] = "refuse"


def _task(value: object) -> object:
    if isinstance(value, Mapping | TaskKeys):
        return value
    if isinstance(value, str):
        return {"mode": value}
    raise BadValue(f"expected `never`, `optional` or `always`, found {describe(value)}", "")


class TaskKeys(Model):
    """Whether calls are MCP tasks, and for how long those can be asked for. Both durations are in seconds."""

    mode: Annotated[
        Literal["never", "optional", "always"],
        Field(description="`optional` is a task for clients that know tasks, `always` is nothing else."),
    ]
    ttl: Annotated[Duration, Field(ge=1.0, description="How long a result is kept.")] = 24 * 3600.0
    poll_interval: Annotated[Duration, Field(ge=0.1, description="How often clients should ask.")] = 1.0


class Annotations(Model):
    """Hints for the client, as MCP's tool annotations."""

    read_only: StrictBool | None = None
    destructive: StrictBool | None = None
    idempotent: StrictBool | None = None
    open_world: StrictBool | None = None


class Icon(Model):
    """A picture of a tool or the server: an https or data URI."""

    src: Annotated[str, Field(pattern="^(https://|data:)[!-~]*$")]
    mime_type: str | None = None
    sizes: tuple[str, ...] | None = None
    theme: Literal["light", "dark"] | None = None


class Defaults(Model):
    """The keys of a tool that `defaults` may set for all tools of a file."""

    shell_program: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "bash",
        "-eo",
        "pipefail",
        "-c",
    )
    env: dict[Annotated[str, Field(pattern=f"^{HOLE_NAME}$")], TemplateText] = {}
    env_file: Annotated[str | None, Field(description="A file of `NAME=value` lines, read at each call.")] = None
    cwd: TemplateText | None = None
    stdin: TemplateText | None = None
    pty: Annotated[Terminal | None, BeforeValidator(_terminal), _OrBoolean()] = None
    timeout: Timeout = 6 * 3600.0
    idle_timeout: Timeout = None
    grace: Annotated[Duration, Field(le=30.0)] = 5.0
    success: Annotated[
        tuple[Annotated[StrictInt, Field(ge=0, le=255)], ...], BeforeValidator(_one_or_more), _OrOne()
    ] = (0,)
    keep_background: Annotated[
        StrictBool, Field(description="What runs in the background after a success lives on.")
    ] = False
    concurrency: Positive | None = None
    progress: ProgressForm = ProgressSpec()
    output: Annotated[Output, BeforeValidator(_output), _OrText()] = Output()
    limits: Limits = Limits()
    sandbox: Annotated[Sandbox | None, BeforeValidator(_sandbox), _OrBoolean()] = None
    confirm: Annotated[Confirm | None, BeforeValidator(_confirm), _OrText()] = None
    ask: Annotated[StrictBool, Field(description="Ask the person for required arguments that are missing.")] = False
    task: Annotated[TaskKeys, BeforeValidator(_task), _OrText()] = TaskKeys(mode="never")
    annotations: Annotations = Annotations()
    icons: tuple[Icon, ...] = ()


class ToolKeys(Defaults):
    """One tool as the manifest writes it."""

    title: str | None = None
    description: str | None = None
    arguments: dict[Annotated[str, Field(pattern=f"^{HOLE_NAME}$")], Argument] | None = None
    command: Command | None = None
    shell: str | None = None


class ServerKeys(Model):
    """What the server says of itself."""

    name: str = "cmdtool"
    title: str | None = None
    instructions: str | None = None
    icons: tuple[Icon, ...] = ()


class ManifestFile(Model):
    """One `tools.yaml` as written."""

    version: Literal[1] = 1
    server: ServerKeys | None = None
    defaults: Defaults = Defaults()
    concurrency: Positive | None = None
    path: tuple[str, ...] = ()
    inherit_env: tuple[str, ...] = ()
    secrets: Annotated[
        tuple[str, ...], Field(description="Environment variables whose values are masked in all output; globs.")
    ] = ()
    parsers: dict[Annotated[str, Field(pattern=f"^{PARSER_NAME}$")], ProgressForm] = {}
    tools: Annotated[dict[Annotated[str, Field(pattern=f"^{TOOL_NAME}$")], ToolKeys], Field(min_length=1)] = {}


class Tool(ToolKeys):
    """A tool ready to be called: complete in itself, and the only thing that is handed on from here.

    `arguments` names every hole, `progress` holds the rules of its parser (own rules first) and its stages, and the
    folder, search path and inherited environment of its file come with it.
    """

    name: str
    arguments: dict[str, Argument] = {}
    progress: Annotated[Progress, BeforeValidator(_progress)] = Progress(parser=AUTO, detects=True)
    folder: str
    """Absolute: the default working directory, and what relative paths of the manifest start from."""
    manifest: str | None = None
    """The path of the manifest, absolute; None if there is none."""
    path: tuple[str, ...] = ()
    """Folders that are searched before PATH, as written."""
    inherit_env: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    """Globs of the environment variables whose values are masked."""


class Manifest(Model):
    """One or more manifest files, checked and merged."""

    server: ServerKeys
    concurrency: int
    tools: dict[str, Tool]
