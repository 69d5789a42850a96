"""Options and help text; the one place where errors become messages and exit statuses."""

import errno
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from cmdtool import __version__
from cmdtool.errors import BadValue, CmdtoolError, ManifestError
from cmdtool.text import clean

if TYPE_CHECKING:
    from cmdtool.model import Tool

app = typer.Typer(
    help="Turn any command into an MCP tool that reports its progress truthfully and stops when told to.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Files = Annotated[
    list[Path] | None, typer.Argument(metavar="FILE", help="Manifest files (default: tools.yaml).", show_default=False)
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Take a manifest that others could have written.", show_default=False)
]


@app.callback(invoke_without_command=True)
def _begin(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"cmdtool {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand in ("check", "list", "parse", "parsers", "schema"):
        # They only print, and end as other programs do once nobody reads. What runs commands outlives a closed pipe.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


# Each subcommand imports its code when it runs: `cmdtool run` must not pay for the MCP SDK, nor completion for either.


@app.command()
def serve(
    ctx: typer.Context,
    files: Files = None,
    trust: Trust = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Read the manifest again when it changes.", show_default=False)
    ] = False,
    spool: Annotated[
        Path | None,
        typer.Option(
            "--spool",
            metavar="FOLDER",
            envvar="CMDTOOL_SPOOL",
            help="Where the output of runs is kept for a day.",
            show_default=False,
        ),
    ] = None,
    http: Annotated[
        str | None, typer.Option("--http", metavar="[HOST:]PORT", help="Serve over HTTP instead.", show_default=False)
    ] = None,
    auth: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who may use it over HTTP: tokens, or OAuth.", show_default=False),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name that it is called by.", show_default=False)
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="ORIGIN", help="A web site whose pages may use it.", show_default=False),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate chain for https (PEM).", show_default=False)
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its key, if it is in a file of its own.", show_default=False),
    ] = None,
    drain: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="How long calls may go on once it must end (default: 30s).", show_default=False
        ),
    ] = None,
    log_format: Annotated[
        Literal["text", "json"], typer.Option(help="One JSON object a line, for programs that read the log.")
    ] = "text",
    log_arguments: Annotated[
        bool, typer.Option("--log-arguments", help="Log the arguments of calls, but for secrets.", show_default=False)
    ] = False,
) -> None:
    """Serve the tools of a manifest to an MCP client over standard input and output, or to many over HTTP."""
    from cmdtool.commands.serve import serve
    from cmdtool.server.site import HttpOptions

    given = {
        "--auth": auth,
        "--allow-host": allow_host,
        "--allow-origin": allow_origin,
        "--tls-cert": tls_cert,
        "--tls-key": tls_key,
        "--drain": drain,
    }
    for option in (option for option, value in given.items() if value is not None):
        if http is None:
            ctx.fail(f"`{option}` is for `--http`")
        if option == "--tls-key" and tls_cert is None:
            ctx.fail("`--tls-key` needs `--tls-cert`")
    options = None
    if http is not None:
        seconds = _duration(ctx, "--drain", drain) if drain else 30.0
        options = HttpOptions(http, allow_host or (), allow_origin or (), auth, tls_cert, tls_key, seconds)
    status = serve(
        files or [],
        spool,
        options,
        trust=trust,
        watch=watch,
        log_format=log_format,
        log_arguments=log_arguments,
    )
    raise typer.Exit(status)


def _duration(ctx: typer.Context, option: str, text: str) -> float:
    from cmdtool.values import parse_duration

    try:
        return parse_duration(text)
    except BadValue as exc:
        ctx.fail(f"`{option}`: {exc.message}; {exc.hint}")


class _TakesCommand(TyperCommand):
    """Keeps the `--` that typer drops: what follows it is a command, not arguments of a tool."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--" in args:
            split = args.index("--")
            args, ctx.meta["command"] = args[:split], args[split + 1 :]
        return super().parse_args(ctx, args)


class _TakesArguments(_TakesCommand):
    """Says how an argument is written to whoever writes one like an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, [*args])
        except typer.TyperException as exc:
            option = getattr(exc, "option_name", "")
            if option.startswith("--") and hasattr(exc, "possibilities"):  # there is no such option
                name = option.removeprefix("--")
                ctx.fail(f"there is no option `{option}`; an argument is written `{name}=...`")
            raise


def _tools(ctx: typer.Context) -> "Mapping[str, Tool]":
    """Return the tools that can be completed; none where the manifest is wrong, for completion says nothing."""
    from cmdtool.commands.files import read_manifest

    try:
        return read_manifest(ctx.params.get("file") or [], trust=True).tools
    except CmdtoolError:
        return {}


def _complete_tool(ctx: typer.Context, incomplete: str) -> list[str]:
    return [name for name in _tools(ctx) if name.startswith(incomplete)]


def _complete_parser(incomplete: str) -> list[str]:
    from cmdtool.library import builtin_parsers

    return [name for name in builtin_parsers() if name.startswith(incomplete)]


def _complete_argument(ctx: typer.Context, incomplete: str) -> list[str]:
    tool = _tools(ctx).get(ctx.params.get("tool") or "")
    return [f"{name}=" for name in tool.arguments if name.startswith(incomplete)] if tool else []


@app.command(cls=_TakesArguments)
def run(
    ctx: typer.Context,
    tool: Annotated[
        str | None,
        typer.Argument(
            metavar="TOOL", help="A tool of the manifest.", autocompletion=_complete_tool, show_default=False
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=VALUE",
            help="Text for strings, JSON for other types, repeated for arrays; NAME=@FILE reads a file, NAME=@- stdin.",
            autocompletion=_complete_argument,
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="FILE", help="Manifest file (default: tools.yaml).", show_default=False),
    ] = None,
    progress: Annotated[
        str | None,
        typer.Option(
            "--progress", "-p", metavar="PARSER", help="Parser or pattern for a command after `--`.", show_default=False
        ),
    ] = None,
    pty: Annotated[
        bool, typer.Option("--pty", help="Run a command after `--` under a pseudo-terminal.", show_default=False)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run, and where, and stop.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Start without asking, where the tool asks first.", show_default=False)
    ] = False,
    trust: Trust = False,
) -> None:
    """Run a tool at the terminal with a live bar; or any command: cmdtool run -- COMMAND ..."""
    from cmdtool.commands.run import Options, run_command, run_tool

    options = Options(as_json=as_json, dry_run=dry_run, yes=yes, trust=trust)
    command = ctx.meta.get("command")
    if command is None:
        if tool is None:
            ctx.fail("name a tool, or a command after `--`")
        for option, is_given in (("--progress", progress is not None), ("--pty", pty)):
            if is_given:
                ctx.fail(f"`{option}` is for a command after `--`; a tool says so in its manifest")
        raise typer.Exit(run_tool(file or [], tool, arguments or [], options))
    if tool is not None or file:
        ctx.fail("a command after `--` needs neither a tool nor a manifest")
    if not command:
        ctx.fail("there is no command after `--`")
    raise typer.Exit(run_command(command, progress, pty, options))


@app.command(cls=_TakesCommand, options_metavar="[OPTIONS] -- COMMAND ...", context_settings={"allow_extra_args": True})
def record(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the recording goes.")],
    pty: Annotated[bool, typer.Option("--pty", help="Give the command a terminal to draw on.")] = False,
) -> None:
    """Run a command and record what it prints, with the times, for `cmdtool parse`."""
    from cmdtool.commands.record import record

    command = ctx.meta.get("command")
    if ctx.args:
        ctx.fail(f"write `--` before the command: cmdtool record -o {output} -- {' '.join(ctx.args)}")
    if not command:
        ctx.fail("there is no command after `--`")
    raise typer.Exit(record(command, output, pty=pty))


@app.command()
def parse(
    ctx: typer.Context,
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A recording, a log file, or - for standard input (the default).", show_default=False
        ),
    ] = None,
    tool: Annotated[
        str | None,
        typer.Option(
            "--tool",
            "-t",
            metavar="NAME",
            help="Read as a tool of the manifest does.",
            autocompletion=_complete_tool,
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="FILE", help="Manifest file (default: tools.yaml).", show_default=False),
    ] = None,
    parser: Annotated[
        str | None,
        typer.Option(
            "--parser",
            "-p",
            metavar="NAME",
            help="Read as a built-in parser does (default: auto).",
            autocompletion=_complete_parser,
            show_default=False,
        ),
    ] = None,
    pattern: Annotated[
        str | None, typer.Option("--pattern", metavar="PATTERN", help="Read by a pattern.", show_default=False)
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show all records that are read.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each reading as JSON, one a line.")] = False,
    updates: Annotated[bool, typer.Option("--updates", help="Print what a client would be sent, as JSON.")] = False,
    suggest: Annotated[bool, typer.Option("--suggest", help="Propose rules in YAML.")] = False,
) -> None:
    """Show what is read in a recording, a log or standard input, and what a client would see."""
    from cmdtool.commands import parse

    given = [option for option, value in (("--tool", tool), ("--parser", parser), ("--pattern", pattern)) if value]
    if len(given) > 1:
        ctx.fail(f"`{given[0]}` and `{given[1]}`: give one of them")
    if file and tool is None:
        ctx.fail("`--file` is for `--tool`")
    if suggest and (given or as_json or updates):
        ctx.fail("`--suggest` takes no other options: it shows what `auto` finds")
    if path is None and sys.stdin.isatty():
        ctx.fail("name a recording or a log file, or `-` for standard input")
    rules = parse.Rules(tool, file or [], parser, pattern)
    if suggest:
        raise typer.Exit(parse.suggest(path))
    if updates:
        raise typer.Exit(parse.print_updates(path, rules))
    if as_json:
        raise typer.Exit(parse.print_readings(path, rules))
    raise typer.Exit(parse.show(path, rules, show_all=show_all))


@app.command()
def check(files: Files = None, trust: Trust = False) -> None:
    """Report every mistake in a manifest with its line; without mistakes, what each tool runs."""
    from cmdtool.commands.check import check

    raise typer.Exit(check(files or [], trust=trust))


@app.command("list")
def list_(files: Files = None, trust: Trust = False) -> None:
    """List the tools of a manifest with their arguments and parsers."""
    from cmdtool.commands.list import list_tools

    raise typer.Exit(list_tools(files or [], trust=trust))


@app.command()
def parsers(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Show this one, ready to paste.", autocompletion=_complete_parser, show_default=False
        ),
    ] = None,
) -> None:
    """List the built-in parsers; or show one with its sample, ready to paste into a manifest."""
    from cmdtool.commands.parsers import list_parsers, show_parser

    raise typer.Exit(list_parsers() if name is None else show_parser(name))


@app.command()
def schema() -> None:
    """Print the JSON Schema of tools.yaml, for editors."""
    from cmdtool.commands.schema import print_schema

    raise typer.Exit(print_schema())


def main() -> None:
    """Run the command line and exit: 0 done, 1 the check failed, 2 usage or manifest error; `run` as its command."""
    if sys.platform == "win32":
        sys.exit("cmdtool: Windows is not supported yet: it needs POSIX processes and signals")
    _open_missing_streams()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except CmdtoolError as exc:
        typer.echo(clean(_error_text(exc)), err=True)
        sys.exit(2)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EPIPE):
            raise
        # What is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if exc.errno == errno.EPIPE:
            sys.exit(128 + signal.SIGPIPE)
        typer.echo(f"error: cannot write the output: {os.strerror(exc.errno).lower()}", err=True)
        sys.exit(1)


def _open_missing_streams() -> None:
    """Put the null device where a stream was closed: else the next file that is opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so it is `number`
            setattr(sys, name, open(fd, "w" if number else "r"))


def _error_text(error: CmdtoolError) -> str:
    if isinstance(error, ManifestError):
        return str(error)
    return "\n".join(line if line.startswith("hint: ") else f"error: {line}" for line in str(error).splitlines())
