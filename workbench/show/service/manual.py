"""The page `/docs`: what can be asked, made of the OpenAPI description, with no script and nothing from the web."""

from html import escape

from fastapi.responses import HTMLResponse

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1f;
background: #fff }} h2 {{ margin-top: 2.5rem; font-family: ui-monospace, monospace; font-size: 1.1rem }}
table {{ border-collapse: collapse; width: 100% }} td, th {{ text-align: left; padding: .3rem .6rem; vertical-align: top;
border-bottom: 1px solid #ccc }} code {{ font-family: ui-monospace, monospace; font-size: .9rem }}
@media (prefers-color-scheme: dark) {{ body {{ color: #e6e6ea; background: #16161a }} a {{ color: #9ab8ff }}
td, th {{ border-color: #444 }} }}</style>
<main><h1>{title}</h1><p>{said}</p><p>The same for machines: <a href="openapi.json">openapi.json</a>.</p>
<p>With tokens, each request has the header <code>Authorization: Bearer TOKEN</code>. What is refused gets a status of 4xx and
<code>{{"error": "a sentence"}}</code>.</p>"""
_RULES = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"}


def add_page(app):
    """Add `/docs` to an app."""

    @app.get("/docs", include_in_schema=False)
    async def docs():
        """The page."""
        return HTMLResponse(page(app.openapi()), headers=_RULES)


def page(api):
    """The page of an OpenAPI description, a dict: str, HTML."""
    parts = [_HEAD.format(title=escape(api["info"]["title"]), said=escape(api["info"].get("description", "")))]
    schemas = api.get("components", {}).get("schemas", {})
    for path, verbs in api["paths"].items():
        for verb, found in verbs.items():
            parts.append(f"<h2>{verb.upper()} {escape(path)}</h2><p>{escape(found.get('description', ''))}</p>")
            body = found.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body:
                parts.append(_fields(body, schemas))
    return "\n".join([*parts, "</main></html>"])


def _fields(schema, schemas):
    schema = _resolved(schema, schemas)
    rows, needed = [], schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in needed else f"default: {field['default']}" if "default" in field else ""
        said = field.get("description", "")
        rows.append(f"<tr><td><code>{escape(name)}</code><td>{escape(_kind(field, schemas))}<td>{escape(default)} {escape(said)}")
    return "<table><tr><th>field<th>what<th>" + "".join(rows) + "</table>"


def _kind(field, schemas, depth=0):
    """A field's type in words."""
    if "anyOf" in field:
        return " or ".join(_kind(one, schemas, depth) for one in field["anyOf"])
    if "enum" in field or "const" in field:
        return " | ".join(map(str, field.get("enum", [field.get("const")])))
    if "$ref" in field:
        own = _resolved(field, schemas)
        if depth > 1:
            return "object"
        inside = (f"{name}: {_kind(one, schemas, depth + 1)}" for name, one in own.get("properties", {}).items())
        return "{" + ", ".join(inside) + "}"
    if field.get("type") == "array":
        several = field.get("prefixItems")
        inside = ", ".join(_kind(one, schemas, depth) for one in several or [field.get("items", {})])
        return f"[{inside}{'' if several else ', ...'}]"
    bounds = [f"{sign} {field[name]:g}" for name, sign in _BOUNDS.items() if name in field]
    return " ".join([field.get("type", "anything"), *bounds])


_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def _resolved(schema, schemas):
    return schemas[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
