"""Shows that COMMAND DOCS describes the arguments of every command: put together as redis-cli does for its hints and
for HELP, they are what the reference page has."""

import os
import re

from conftest import TOP


def shown(argument):
    """An argument with all that is in it, as redis-cli shows it."""
    token = [argument["token"].decode()] if "token" in argument else []
    name = []
    if "arguments" in argument:
        name = [("|" if argument["type"] == b"oneof" else " ").join(map(shown, argument["arguments"]))]
    elif argument["type"] != b"pure-token":
        name = [argument["name"].decode()]
    flags = argument.get("flags", [])
    text = " ".join(token + name)
    if "multiple" in flags:
        text += f" [{text if 'multiple_token' in flags else name[0]} ...]"
    return f"[{text}]" if "optional" in flags else text


def reference():
    """Each row of the reference page by its name in lower case: "client|kill"."""
    with open(os.path.join(TOP, "docs", "commands.md"), encoding="utf-8") as page:
        lines = page.read().split("\n## Refused")[0].replace("\\|", "|")
    return re.findall(r"^\| `([A-Z.]+(?: [A-Z][A-Z-]+)?)((?: [^`]*)?)` \| (.*) \|$", lines, re.M)


def test_arguments_are_those_of_the_reference(forebay, database):
    path = database("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);")
    server = forebay({"sources": {"shop": {"url": f"sqlite:{path}"}}, "keyspaces": {"t:{id:int}": {"table": "t"}}})
    with server.wire() as wire:
        wire.ask("HELLO", "3")
        docs = wire.ask("COMMAND", "DOCS")
    for row in list(docs.values()):
        docs.update(row.get("subcommands", {}))
    compared = 0
    for name, syntax, summary in reference():
        if name.lower().replace(" ", "|") not in docs: # FB.DEAD LIST: a word of its arguments, not a command of its own
            name, _, word = name.partition(" ")
            syntax = f"{word}{syntax}"
        row = docs[name.lower().replace(" ", "|")]
        assert row["summary"].decode() == summary
        if "subcommands" not in row:
            arguments = " ".join(map(shown, row.get("arguments", [])))
            assert f"{name} {arguments}" == f"{name} {syntax.strip().replace(' | ', '|')}"
            compared += 1
    assert compared > 100
