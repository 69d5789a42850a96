"""Keeps the whole output of runs in private files for a while: written as it comes, read in ranges, searched.

Bytes and facts go in, bytes and facts come out; nothing here knows of MCP. What goes wrong with a disk is a fact of the
run, never an error of the call.
"""

from cmdtool.spool.search import Find, literal, matching_lines, pattern
from cmdtool.spool.store import Piece, Record, RunOutput, Spool, TaskTerms

__all__ = ["Find", "Piece", "Record", "RunOutput", "Spool", "TaskTerms", "literal", "matching_lines", "pattern"]
