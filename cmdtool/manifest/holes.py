"""Where a tool's holes stand: whether they name arguments, and whether these can be filled in there."""

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from cmdtool.manifest.nodes import Node, Report, nearest
from cmdtool.model import Argument, Choice, Counted, Element, Group
from cmdtool.shellwords import HINT, find_shell_syntax
from cmdtool.template import Hole, Template

_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish"})
_SCRIPT_OPTION: Final = re.compile("-[a-z]*c")
_NEST: Final = 'put both in a nested list, `[{0}, "{{{1}}}"]`; if `{0}` takes no value, put `--` between them'


class Holes:
    """Checks all holes of one tool against its `arguments`, and remembers which of these are `used`."""

    def __init__(
        self, arguments: Mapping[str, Argument], report: Report, *, are_known: bool = True, are_declared: bool = True
    ) -> None:
        """`are_known` is false where some arguments could not be read, so that no name is known to be wrong.

        `are_declared` is false where the arguments are just the names of the holes.
        """
        self.arguments = arguments
        self._are_declared = are_declared
        self.are_known = are_known
        self.used: set[str] = set()
        self.counted: dict[Counted, Node] = {}
        """The counted totals, each with the place of what it runs."""
        self._report = report

    def check_text(self, node: Node, template: Template, *, may_be_secret: bool) -> None:
        """Check text that is not an element of a command: `env`, `cwd`, `stdin`."""
        names = self._known(node, template)
        if not may_be_secret:
            self._refuse_secrets(node, names, "cannot be part of a path")
        for name in names:
            if is_array(self.arguments[name]):
                self._at_hole(node, name, f"the array `{name}` cannot be filled in here", "give it to the command")

    def check_shown(self, node: Node, template: Template) -> None:
        """Check text that a person reads: an array can stand in it."""
        self._refuse_secrets(node, self._known(node, template), "cannot be part of what is shown")

    def check_paths(self, node: Node, template: Template) -> None:
        """Check paths, one for each item of an array in them."""
        self._check_repeated(node, template, "cannot be part of a path")

    def _check_repeated(self, node: Node, template: Template, why_no_secret: str) -> None:
        names = self._known(node, template)
        self._refuse_secrets(node, names, why_no_secret)
        arrays = [name for name in names if is_array(self.arguments[name])]
        if len(arrays) > 1:
            named = " and ".join(f"`{name}`" for name in arrays)
            self._at_hole(node, arrays[1], f"two arrays in one element: {named}", "use one element for each")

    def check_command(self, node: Node, command: Sequence[Element]) -> None:
        """Check a command line, as text or as a list."""
        if isinstance(node.value, str):
            placed = [(node, element) for element in command]
        else:
            placed = list(zip(node.items, command, strict=True))
            for index, item in enumerate(node.items):
                self._check_shell_syntax(item, is_program=index == 0)
        if not node.is_damaged:
            self._check_program(*placed[0])
            self._check_options(placed)
            self._check_scripts(placed)
            placed = placed[1:]
        for place, element in placed:
            self._check_element(place, element)

    def check_counted(self, node: Node, counted: Counted) -> None:
        """Check a total that a command counts."""
        self.counted[counted] = node.child("command") or node.child("shell") or node
        check_runs(node, self._report)
        if counted.shell is not None:
            self.used |= self.arguments.keys()
        if counted.command is not None:
            self.check_command(node.entries["command"], counted.command)

    def check_name(self, node: Node, name: str, *, offset: int | None = None) -> bool:
        """Return whether there is an argument `name`, and report it if not."""
        self.used.add(name)
        if name in self.arguments:
            return True
        if not self.are_known:
            return False
        near = nearest(name, self.arguments)
        hint = f"add `{name}` to `arguments`, or write `{{{{{name}}}}}` for the text"
        if near:
            self.used.add(near)
            hint = f"did you mean `{near}`?"
        self._report.at(node, f"`{name}` is not one of the tool's arguments", hint, offset=offset)
        return False

    def _known(self, node: Node, template: Template) -> list[str]:
        """Return the arguments that the holes of a text name, and report what is none."""
        variables = [
            hole.name
            for before, hole in pairwise(template.parts)
            if isinstance(hole, Hole) and str(before).endswith("$") and not self._is_declared(hole.name)
        ]
        for name in variables:
            self.used.add(name)
            hint = f"use `shell:` for variables; the text itself is written `${{{{{name}}}}}`"
            self._at_hole(node, name, f"`${{{name}}}` is not replaced, no shell reads this", hint)
        names = [name for name in dict.fromkeys(template.holes) if name not in variables]
        return [name for name in names if self.check_name(node, name, offset=_offset(node, name))]

    def _refuse_secrets(self, node: Node, names: Sequence[str], why: str) -> None:
        for name in names:
            if self.arguments[name].secret:
                self._at_hole(node, name, f"the secret `{name}` {why}", "pass it through `env:`, `stdin:` or `shell:`")

    def _is_declared(self, name: str) -> bool:
        return self._are_declared and name in self.arguments

    def _at_hole(self, node: Node, name: str, message: str, hint: str) -> None:
        self._report.at(node, message, hint, offset=_offset(node, name))

    def _check_program(self, node: Node, program: Element) -> None:
        if not isinstance(program, Template):
            self._report.at(node, "the program, a command's first element, must be plain text")
        elif program.holes:
            hint = "write one tool for each program, or pass the name to `env`"
            self._at_hole(node, program.holes[0], "the program cannot be filled in", hint)
            self.used.update(program.holes)
        elif not str(program):
            self._report.at(node, "the program is empty", "write a program and its arguments")

    def _check_options(self, placed: Sequence[tuple[Node, Element]]) -> None:
        """Report `-o {output}` where leaving out the value would leave the option behind."""
        for (_, before), (node, element) in pairwise(placed):
            if not isinstance(element, Template) or not isinstance(before, Template) or before.holes:
                continue
            option = str(before)
            argument = self.arguments.get(element.holes[0]) if isinstance(element.parts[0], Hole) else None
            is_option = option.startswith("-") and "=" not in option and option not in ("-", "--")
            if is_option and argument and not argument.is_required and "default" not in argument.property_schema:
                name = element.holes[0]
                message = f"without `{name}`, which is optional, `{option}` would stand alone"
                self._at_hole(node, name, message, _NEST.format(option, name))

    def _check_scripts(self, placed: Sequence[tuple[Node, Element]]) -> None:
        """Report `bash -c "ls {folder}"`: a shell would read the value. Where all the script is one, that is meant."""
        if posixpath.basename(str(placed[0][1])) not in _SHELLS:
            return
        for (_, option), (node, script) in pairwise(placed[1:]):
            is_script = isinstance(option, Template) and _SCRIPT_OPTION.fullmatch(str(option))
            if is_script and isinstance(script, Template) and script.holes and len(script.parts) > 1:
                name = script.holes[0]
                hint = f'use `shell:` and write "${name}": there arguments are variables and never text'
                self._at_hole(node, name, f"a shell would read the value of `{name}`", hint)

    def _check_element(self, node: Node, element: Element) -> None:
        if isinstance(element, Template):
            why = "cannot be part of a command line: everybody on the machine can read it"
            self._check_repeated(node, element, why)
        elif isinstance(element, Group):
            for place, inner in zip(node.items, element.root, strict=True):
                self._check_element(place, inner)
        else:
            self.check_name(node.entries["if"], element.condition)
            for place, inner in _branches(node, element):
                self._check_element(place, inner)

    def _check_shell_syntax(self, node: Node, *, is_program: bool = False) -> None:
        found = None
        if node.written is not None:
            found = find_shell_syntax(node.written, is_program=is_program)
        elif node.value == "" and self._report.char(node) in ("|", ">"):  # to YAML a block without lines
            found = self._report.char(node)
        if found:
            message = f"`{found}` has no meaning here, no shell runs the command"
            self._report.at(node, message, HINT, offset=str(node.value).find(found) if node.value else None)
        for child in (*node.items, *(node.entries[key] for key in ("then", "else") if key in node.entries)):
            self._check_shell_syntax(child)


def check_runs(node: Node, report: Report) -> None:
    """Report a tool, or a counted total, that has not exactly one of `command` and `shell`."""
    given = [node.entries[key] for key in ("command", "shell") if key in node.entries]
    if len(given) == 2:
        later = max(given, key=lambda place: (place.key.line, place.key.column))
        report.at(later, "`command` and `shell` exclude each other", "keep one of them", on_key=True)
    elif not given and not any(nearest(str(step), ("command", "shell")) for step in node.dropped):
        report.at(node, "neither `command` nor `shell`", "say what it runs: `command: ...`", on_key=True)
    for place in given:
        if place.value is None or not str(place.value).strip():
            report.at(place, "there is nothing to run", "write a program and its arguments")


def hole_names(elements: Sequence[Element]) -> Iterator[str]:
    """Yield the names of all holes of a command, in order."""
    for element in elements:
        if isinstance(element, Template):
            yield from element.holes
        elif isinstance(element, Group):
            yield from hole_names(element.root)
        else:
            yield from hole_names((*element.then, *element.otherwise))


def is_array(argument: Argument) -> bool:
    kind = argument.property_schema.get("type")
    return kind == "array" or (isinstance(kind, list) and "array" in kind)


def _branches(node: Node, choice: Choice) -> Iterator[tuple[Node, Element]]:
    for key, elements in (("then", choice.then), ("else", choice.otherwise)):
        if key in node.entries:
            place = node.entries[key]
            places = place.items if isinstance(place.value, tuple) else (place,)
            yield from zip(places, elements, strict=True)


def _offset(node: Node, name: str) -> int | None:
    """Return where in the text of `node` the hole stands."""
    found = node.value.find(f"{{{name}}}") if isinstance(node.value, str) else -1
    return found if found >= 0 else None
