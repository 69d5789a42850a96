"""YAML text -> `Manifest`, or every problem found, each with file:line:column and key path.

One arrow after the other: `reader` (YAML text -> nodes with places), `validation` (nodes -> models), `arguments`,
`holes`, `rules`, `parsers` (what is wrong beyond the shape of keys), `tools` (one tool), `loader` (all files).
"""

from cmdtool.manifest.editor_schema import manifest_schema
from cmdtool.manifest.loader import check, load, load_keys, load_parser, resolve_progress
from cmdtool.manifest.nodes import Source
from cmdtool.manifest.tools import Facts

__all__ = ["Facts", "Source", "check", "load", "load_keys", "load_parser", "manifest_schema", "resolve_progress"]
