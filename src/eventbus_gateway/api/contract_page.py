"""The contract as one page of HTML without scripts."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

Node = Mapping[str, Any]

METHODS = ("get", "put", "post", "delete", "patch")
_CODE = re.compile(r"`([^`]+)`")
# What of a schema is shown beside its type, in this order.
_FACTS = (
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "default",
)


def page(document: Node, style: str) -> str:
    """The page.

    Args:
        document: an OpenAPI 3.1 document whose references are all within itself.
        style: its style sheet.
    """
    info, components = document["info"], document["components"]
    operations = list(_operations(document))
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{escape(info['title'])}</title><style>{style}</style></head><body>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        f'{_prose(info["description"])}<p><a href="/openapi.json">openapi.json</a></p>',
        _contents(document, operations),
        _credentials(components["securitySchemes"]),
    ]
    for tag in document["tags"]:
        parts.append(f'<section><h2 id="{_id(tag["name"])}">{escape(tag["name"])}</h2>{_prose(tag["description"])}')
        parts += [_operation(document, each) for each in operations if each.said["tags"] == [tag["name"]]]
        parts.append("</section>")
    parts.append('<section><h2 id="answers">Answers</h2>')
    parts += [_answer(document, name, each) for name, each in components["responses"].items()]
    parts.append('</section><section><h2 id="schemas">Schemas</h2>')
    parts += [
        f'<article id="schema-{_id(name)}"><h3>{escape(name)}</h3>{_schema(each)}</article>'
        for name, each in components["schemas"].items()
    ]
    parts.append("</section></body></html>\n")
    return "".join(parts)


class _Operation(NamedTuple):
    path: str
    method: str
    said: Node
    shared: Sequence[Node]


def _operations(document: Node) -> Iterator[_Operation]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield _Operation(path, method, item[method], item.get("parameters", []))


def _contents(document: Node, operations: Iterable[_Operation]) -> str:
    links = "".join(
        f'<li><a href="#{_id(each.said["operationId"])}"><code>{_title(each)}</code></a>' for each in operations
    )
    sections = " · ".join(f'<a href="#{_id(tag["name"])}">{escape(tag["name"])}</a>' for tag in document["tags"])
    more = '<a href="#answers">Answers</a> · <a href="#schemas">Schemas</a>'
    return f"<nav><p>{sections} · {more}</p><ul>{links}</ul></nav>"


def _title(operation: _Operation) -> str:
    return f'<span class="method">{operation.method}</span> {escape(operation.path)}'


def _credentials(schemes: Node) -> str:
    rows = [(name, each["type"], each.get("description", "")) for name, each in schemes.items()]
    return f"<section><h2>Credentials</h2>{_table(('Name', 'Kind', ''), rows)}</section>"


def _operation(document: Node, operation: _Operation) -> str:
    said = operation.said
    parts = [
        f'<article id="{_id(said["operationId"])}" class="operation"><h3><code>{_title(operation)}</code></h3>',
        f"<p>{_inline(said['summary'])}</p>{_prose(said.get('description', ''))}",
    ]
    if said.get("security") == []:
        parts.append("<p>No credential is asked for.</p>")
    parameters = [resolved(document, each) for each in (*operation.shared, *said.get("parameters", ()))]
    if parameters:
        rows = [
            (
                f"{each['name']} ({each['in']}{', required' if each.get('required') else ''})",
                _type(each["schema"]),
                each.get("description", each["schema"].get("description", "")),
            )
            for each in parameters
        ]
        parts.append(f"<h4>Parameters</h4>{_table(('Name', 'Type', ''), rows, typed=True)}")
    if "requestBody" in said:
        parts.append(f"<h4>Body</h4>{_content(document, said['requestBody']['content'])}")
    answers = "".join(_answered(document, status, each) for status, each in said["responses"].items())
    parts.append(f"<h4>Answers</h4><table>{answers}</table></article>")
    return "".join(parts)


def _answered(document: Node, status: str, answer: Node) -> str:
    name, said = answer.get("$ref", "").rpartition("/")[2], resolved(document, answer)
    body = f'<a href="#answer-{_id(name)}">{escape(name)}</a>' if name else _body(document, said)
    return f"<tr><td>{escape(status)}</td><td>{_inline(said['description'])}</td><td>{body}</td></tr>"


def _answer(document: Node, name: str, answer: Node) -> str:
    said = f"<p>{_inline(answer['description'])}</p>{_body(document, answer)}"
    return f'<article id="answer-{_id(name)}"><h3>{escape(name)}</h3>{said}</article>'


def _body(document: Node, answer: Node) -> str:
    headers = ", ".join(f"<code>{escape(name)}</code>" for name in answer.get("headers", ()))
    return f"<p>Headers: {headers}</p>{_content(document, answer.get('content', {}))}"


def _content(document: Node, content: Node) -> str:
    parts = []
    for media, each in content.items():
        parts.append(f"<details><summary><code>{escape(media)}</code></summary>{_schema(each['schema'])}")
        parts += [f"<pre>{escape(_text(value))}</pre>" for value in examples(document, each).values()]
        parts.append("</details>")
    return "".join(parts)


def examples(document: Node, holder: Node) -> dict[str, Any]:
    """Examples of a media type, by name.

    Args:
        document: what references are within.
        holder: a media type object (OpenAPI 3.1, section 4.8.14).
    """
    found = {name: resolved(document, each)["value"] for name, each in holder.get("examples", {}).items()}
    return found | ({"example": holder["example"]} if "example" in holder else {})


def _schema(schema: Node) -> str:
    if "properties" not in schema and "allOf" not in schema:
        return f'<p class="type">{_type(schema)} {_inline(schema.get("description", ""))}</p>'
    parts = [f"<p>{_inline(schema['description'])}</p>" if "description" in schema else ""]
    parts += [_schema(each) for each in schema.get("allOf", ())]
    required = schema.get("required", ())
    rows = [
        (f"{name}{' (required)' if name in required else ''}", _type(each), each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]
    if rows:
        parts.append(_table(("Member", "Type", ""), rows, typed=True))
    nested = [each for each in schema.get("properties", {}).items() if "properties" in each[1].get("items", each[1])]
    for name, each in nested:
        parts.append(f"<details><summary>{escape(name)}</summary>{_schema(each.get('items', each))}</details>")
    return "".join(parts)


def _type(schema: Node) -> str:
    """What a value can be, in a line of HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{_id(name)}">{escape(name)}</a>'
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return " or ".join(_type(each) for each in schema[word])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return ", ".join(f"<code>{escape(json.dumps(each))}</code>" for each in schema["enum"])
    kinds = schema.get("type", "any")
    words = [escape(kinds if isinstance(kinds, str) else " or ".join(kinds))]
    if "items" in schema:
        words.append(f"of {_type(schema['items'])}")
    if isinstance(schema.get("additionalProperties"), dict):
        words.append(f"of {_type(schema['additionalProperties'])}")
    words += [f"{fact} <code>{escape(json.dumps(schema[fact]))}</code>" for fact in _FACTS if fact in schema]
    return " ".join(words)


def _table(names: Iterable[str], rows: Iterable[tuple[str, str, str]], *, typed: bool = False) -> str:
    """A table; ``typed`` where the second column is HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr><td><code>{escape(first)}</code></td><td>{second if typed else escape(second)}</td>"
        f"<td>{_inline(third)}</td></tr>"
        for first, second, third in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def resolved(document: Node, node: Node) -> Node:
    """What a reference stands for; anything else is itself.

    Args:
        document: what references are within.
        node: a part of it.
    """
    reference = node.get("$ref")
    if reference is None:
        return node
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return resolved(document, found)


def _prose(text: str) -> str:
    return "".join(f"<p>{_inline(each)}</p>" for each in text.split("\n\n") if each.strip())


def _inline(text: str) -> str:
    """A line of text, with code between backticks."""
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _id(name: str) -> str:
    return escape(name, quote=True)
