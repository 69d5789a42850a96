"""The JSON Schema of `tools.yaml` itself, for editors."""

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from cmdtool.model import JSONValue, ManifestFile

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # it would only repeat the key


def manifest_schema() -> dict[str, JSONValue]:
    """Return the JSON Schema (draft 2020-12) of a manifest file, short forms and all."""
    schema: dict[str, JSONValue] = _adjust(ManifestFile.model_json_schema(schema_generator=_Generator))
    schema["required"] = ["tools"]
    schema["patternProperties"] = {"^x-": True}
    return {"$schema": _DIALECT, **schema}


def _adjust(schema: JSONValue) -> JSONValue:
    """Return the schema with names checked, and with unions whose members overlap as `anyOf`."""
    if isinstance(schema, list):
        return [_adjust(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    adjusted = {"anyOf" if key == "oneOf" else key: _adjust(value) for key, value in schema.items()}
    if "patternProperties" in adjusted and "unevaluatedProperties" not in adjusted:
        adjusted["additionalProperties"] = False
    return adjusted
