"""`cmdtool schema`: the JSON Schema of `tools.yaml`, for editors."""

import json
import sys

from cmdtool.manifest import manifest_schema


def print_schema() -> int:
    """Print the schema on standard output."""
    sys.stdout.write(json.dumps(manifest_schema(), indent=2) + "\n")
    return 0
