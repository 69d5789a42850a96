"""Text with holes: `{name}` is filled with a value, `{{name}}` is the literal `{name}`, other braces stay."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_HOLE: Final = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]*)\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Hole:
    """A place in a template that the value of `name` goes to."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """Text split at its holes, once, when the manifest is read; values are never split or parsed again."""

    parts: tuple[str | Hole, ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Split `text` at its holes."""
        parts: list[str | Hole] = []
        literal, end = "", 0
        for match in _HOLE.finditer(text):
            literal += text[end : match.start()]
            end = match.end()
            if match[1]:
                literal += f"{{{match[1]}}}"
                continue
            if literal:
                parts.append(literal)
            parts.append(Hole(match[2]))
            literal = ""
        literal += text[end:]
        return cls((*parts, literal) if literal or not parts else tuple(parts))

    @property
    def holes(self) -> tuple[str, ...]:
        """The names of the holes, in order, with repeats."""
        return tuple(part.name for part in self.parts if isinstance(part, Hole))

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with every hole filled, in one pass.

        Raises:
            KeyError: `values` lacks the name of a hole.
        """
        return "".join(values[part.name] if isinstance(part, Hole) else part for part in self.parts)

    def __str__(self) -> str:
        """Return the text as a manifest would write it: parsing it gives this template again."""
        return "".join(
            f"{{{part.name}}}" if isinstance(part, Hole) else _HOLE.sub(r"{\g<0>}", part) for part in self.parts
        )
