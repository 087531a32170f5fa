"""`docs/api.md`: every request that the alerter's API answers, as its OpenAPI document describes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, cast

from alerts.api.app import REFUSALS, build_api
from alerts.api.parts import Parts

Schema = dict[str, Any]
"""A piece of the description: an operation, or the form of a value."""

_PREAMBLE = """\
# API

Made by `make api` from the OpenAPI document that the alerter serves at `/openapi.json`. It speaks JSON at `http://127.0.0.1:8600/api/v1`, where `api_host` and
`api_port` say; the commands `yuqing alerts`, `silence`, `subscribe` and `deliveries` use nothing else.

```sh
TOKEN=$(cat ~/.local/share/yuqing/api-token)
curl -s -H "Authorization: Bearer $TOKEN" '127.0.0.1:8600/api/v1/alerts?status=open'
curl -s -H "Authorization: Bearer $TOKEN" '127.0.0.1:8600/api/v1/documents?subject=topic:Macro&sentiment=negative&limit=5'
curl -s -H "Authorization: Bearer $TOKEN" '127.0.0.1:8600/api/v1/subjects/topic:Macro/windows?step=3600'
curl -s -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H 'Idempotency-Key: 7b1' 127.0.0.1:8600/api/v1/feedback \\
  -d '{"alert_id": "al_0123", "verdict": "false"}'
curl -sN -H "Authorization: Bearer $TOKEN" '127.0.0.1:8600/api/v1/stream?kinds=alert'     # server-sent events
```

- **Tokens.** `Authorization: Bearer`. The token that `yuqing up` says the place of may do everything; the setting `api_tokens` adds others. A scope holds those before
  it: `read` looks, `operate` also acknowledges, silences, judges, tests and retries, `admin` also changes subscriptions. Each token may ask `api_rate_per_min` times
  a minute (600).
- **Lists** give `next`, to be sent back as `cursor`; without it there is no more.
- **Sent twice.** A POST with an `Idempotency-Key` does nothing twice within a day: its first answer comes again, with `idempotent-replayed: true`.
- **Two people at once.** A subscription's `ETag`, sent as `If-Match`, keeps them from overwriting each other.
- **Events.** The stream tells of alerts and judged documents as they come; `Last-Event-ID` resumes after the last event seen, `reset` says that some were missed.
- **Unknown fields** of a body are refused. Answers may get further fields: ignore what you do not know.

Errors are [problem+json](https://www.rfc-editor.org/rfc/rfc9457), with one line in `detail`:

| status | means |
|---|---|
"""


def document() -> str:
    """The whole page."""
    described = build_api(cast("Parts", None)).openapi()  # nobody asks it anything: only its description is wanted
    writer = _Writer(described["components"]["schemas"])
    tags: dict[str, list[str]] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            lines = [f"### `{method.upper()} {path}`\n", *writer.operation(operation)]
            tags.setdefault(operation["tags"][0], []).append("\n".join(lines))
    refusals = [f"| {status} | {refusal['description']} |" for status, refusal in REFUSALS.items()]
    sections = [f"\n## {tag.capitalize()}\n\n" + "\n\n".join(found) for tag, found in tags.items()]
    return _PREAMBLE + "\n".join([*refusals, *sections]) + "\n"


class _Writer:
    """Writes operations of a description whose forms are named in `schemas`."""

    def __init__(self, schemas: dict[str, Schema]) -> None:
        self._schemas = schemas

    def operation(self, operation: Schema) -> Iterator[str]:
        """What a request does, who may make it, and what it holds."""
        scopes = [scope for requirement in operation.get("security", []) for found in requirement.values() for scope in found]
        yield f"{_line(operation['description'])} {f'Scope `{scopes[0]}`.' if scopes else 'No token.'}"
        rows = [self._row(one["name"], one["schema"] | one, where=one["in"], needed=one.get("required", False)) for one in operation.get("parameters", [])]
        rows += self._body(operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {}))
        if rows:
            yield "\n| name | in | form | meaning |\n|---|---|---|---|"
            yield from rows

    def _body(self, schema: Schema) -> list[str]:
        """The fields of all forms that a body may have; needed are those that each form asks for."""
        forms = self._objects(schema)
        needed = set.intersection(*[set(form.get("required", [])) for form in forms]) if forms else set()
        properties = {name: field for form in reversed(forms) for name, field in form["properties"].items() if field.get("type") != "null"}
        return list(self._fields({"properties": properties, "required": needed}))

    def _objects(self, schema: Schema) -> list[Schema]:
        """The objects that a value may be."""
        if "$ref" in schema:
            found = self._referred(schema)
            return [found] if "properties" in found else []
        return [form for one in schema.get("anyOf", []) for form in self._objects(one)]

    def _fields(self, form: Schema, *, prefix: str = "") -> Iterator[str]:
        for name, schema in form["properties"].items():
            yield self._row(prefix + name, schema, where="body", needed=name in form.get("required", []))
            for inner in self._objects(schema):
                yield from self._fields(inner, prefix=f"{prefix}{name}.")

    def _row(self, name: str, schema: Schema, *, where: str, needed: bool) -> str:
        default = schema.get("default")
        shown = f"; {default} unless given" if isinstance(default, str | int | float) and default != "" else ""
        written = f"**`{name}`**" if needed else f"`{name}`"
        return f"| {written} | {where} | {self._form(schema)}{shown} | {_line(schema.get('description', ''))} |"

    def _form(self, schema: Schema) -> str:
        """The form of a value, in a few words."""
        if "$ref" in schema:
            found = self._referred(schema)
            return self._form(found) if "enum" in found else "object"
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self._form(one) for one in schema["anyOf"] if one.get("type") != "null"))
        if "enum" in schema:
            return ", ".join(f"`{value}`" for value in schema["enum"])
        if "const" in schema:
            return f"`{schema['const']}`"
        if schema.get("type") == "array":
            return f"list of {self._form(schema.get('items', {}))}"
        kind = "instant" if schema.get("format") == "date-time" else schema.get("type", "any")
        return f"{kind}{_bounds(schema)}"

    def _referred(self, schema: Schema) -> Schema:
        return self._schemas[schema["$ref"].rpartition("/")[2]]


def _line(text: str) -> str:
    """The text on one line, as a table can hold it."""
    return " ".join(text.split()).replace("|", r"\|")


def _bounds(schema: Schema) -> str:
    """What a number or a text may be."""
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return f", {_number(low)} to {_number(high)}"
    if low is not None:
        return f", {'above' if 'exclusiveMinimum' in schema else 'at least'} {_number(low)}"
    return f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""


def _number(value: float) -> str:
    return str(int(value) if value == int(value) else value)


if __name__ == "__main__":
    sys.stdout.write(document())
