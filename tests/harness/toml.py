"""Writes TOML: tables, strings, numbers, booleans and lists of those. The standard library only reads it."""

import json


def dumps(tables: dict[str, object]) -> str:
    """A document with these keys; a dict becomes a table, nested ones too."""
    return "\n".join(_table(tables, ())) + "\n"


def _table(table: dict[str, object], path: tuple[str, ...]) -> list[str]:
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    if path and lines:
        lines.insert(0, f"[{'.'.join(path)}]")
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _table(value, (*path, key))
    return lines


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings know JSON's escapes
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"no TOML for {value!r}")
