"""What a request for text asks for besides text: several choices, a call of a tool, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from skyproxy.demo.faults import Faults
from skyproxy.demo.instances import NoInstance, instance_of
from skyproxy.demo.shapes import ApiError
from skyproxy.demo.words import Said, call, line_for, say, write_json

_MOST_CHOICES = 128

_TOOL_WORD = "guard"
"""The text in the arguments of a call."""


def answers_to(fields: Mapping[str, Any], prompt: str, faults: Faults) -> list[Said]:
    """The choices with which a request for chat or a completion is answered.

    A function is called where ``tool_choice`` wants that, or leaves it open and the last message is no result of a
    tool.

    :param prompt: the text of the last message.
    :raise ApiError: the fields are wrong, or ask for what the demo cannot give.
    """
    number = fields.get("n")
    if number is None:
        number = 1
    if type(number) is not int or not 1 <= number <= _MOST_CHOICES:
        raise ApiError(400, f"'n' must be a whole number from 1 to {_MOST_CHOICES}.", param="n")
    function = _function(fields)
    if function is not None:
        arguments = _json(function.get("parameters", {"type": "object"}), _TOOL_WORD, "tools")
        return [call(function["name"], arguments, faults)] * number
    schema = schema_of(fields.get("response_format"))
    if schema is not None:
        return [write_json(json_of(schema, line_for(prompt, faults, each)), faults) for each in range(number)]
    return [say(prompt, faults, each) for each in range(number)]


def schema_of(wanted: Any, param: str = "response_format") -> Any:
    """The schema by which JSON is *wanted*; None: text is.

    :raise ApiError: it is none of OpenAI's formats.
    """
    kind = wanted.get("type") if isinstance(wanted, Mapping) else wanted
    if kind is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    if kind != "json_schema" or not isinstance(wanted, Mapping):
        raise ApiError(400, f"'{param}' must be text, json_object or json_schema.", param=param)
    named = wanted.get("json_schema", wanted)
    if not isinstance(named, Mapping) or not isinstance(named.get("name"), str) or "schema" not in named:
        raise ApiError(400, f"'{param}' must have a name and a schema.", param=param)
    return named["schema"]


def json_of(schema: Any, text: str, param: str = "response_format") -> str:
    """A small value by *schema*, in JSON.

    :raise ApiError: the demo finds none.
    """
    return _json(schema, text, param)


def _json(schema: Any, text: str, param: str) -> str:
    try:
        return orjson.dumps(instance_of(schema, text)).decode()
    except (NoInstance, TypeError) as error:
        raise ApiError(400, f"The demo has no answer for this schema: {error}.", param=param) from None


def _function(fields: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The function that is to be called."""
    tools, choice = fields.get("tools"), fields.get("tool_choice")
    if not tools:
        if choice is not None and choice != "none":
            raise ApiError(400, "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice")
        return None
    functions = _functions(tools)
    if choice == "none":
        return None
    if choice in (None, "auto"):
        return None if _answers_a_tool(fields.get("messages")) else next(iter(functions.values()))
    if choice == "required":
        return next(iter(functions.values()))
    named = choice.get("function") if isinstance(choice, Mapping) and choice.get("type") == "function" else None
    if not isinstance(named, Mapping):
        raise ApiError(
            400, "'tool_choice' must be none, auto, required, or the name of a function.", param="tool_choice"
        )
    found = functions.get(str(named.get("name")))
    if found is None:
        raise ApiError(400, f"'tool_choice' names {named.get('name')!r}, which 'tools' has not.", param="tool_choice")
    return found


def _functions(tools: Any) -> dict[str, Mapping[str, Any]]:
    functions: dict[str, Mapping[str, Any]] = {}
    for tool in tools if isinstance(tools, list) else [None]:
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"]:
            raise ApiError(400, "'tools' must be a list of functions, each with a name.", param="tools")
        functions.setdefault(function["name"], function)
    return functions


def _answers_a_tool(messages: Any) -> bool:
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, Mapping) and last.get("role") == "tool"
