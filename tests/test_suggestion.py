"""Rules in YAML from what was found."""

import textwrap
from dataclasses import dataclass

from cmdtool.library import builtin_parsers
from cmdtool.manifest import Source, check
from cmdtool.suggestion import write_progress


@dataclass(frozen=True)
class Found:
    pattern: str
    message: str | None = None
    stage: str | None = None
    sample: bytes = b"\x1b[1mcopied 3 of 12\n"
    kind: str = "fraction"


def test_rules_are_written_as_they_stand_in_a_tool() -> None:
    found = [Found(r"copied (\d+) of (\d+)"), Found(r"it's (?P<percent>\d+)%", message="{percent} #1", stage="end")]
    text = write_progress(found)
    assert text == textwrap.indent(
        textwrap.dedent(r"""
            progress:
              # fraction: copied 3 of 12
              - 'copied (\d+) of (\d+)'
              # fraction: copied 3 of 12
              - pattern: 'it''s (?P<percent>\d+)%'
                stage: 'end'
                message: '{percent} #1'
        """).lstrip("\n"),
        "    ",
    )
    source = f"tools:\n  copy:\n    command: ./copy.sh\n{text}"
    manifest, problems = check([Source("tools.yaml", "/", source)], builtin_parsers())
    assert problems == []
    assert manifest is not None
    rules = manifest.tools["copy"].progress.rules
    assert [rule.pattern for rule in rules] == [each.pattern for each in found]
    assert str(rules[1].message) == "{percent} #1"
