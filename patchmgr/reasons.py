"""What is wrong with a value that somebody wrote, in words; pydantic's own are for programmers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_WHOLE, _NUMBER, _BOOLEAN = "it should be a whole number", "it should be a number", "it should be true or false"
_WORDS = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such field",
    "string_type": "it should be a text",
    "list_type": "it should be a list",
    "dict_type": "it should be a table of names and values",
    "model_type": "it should be a table of names and values",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _BOOLEAN),
}
"""By pydantic's name of the error."""


def reason_of(error: ValidationError) -> str:
    """The first thing that is wrong, without its place.

    >>> from pydantic import TypeAdapter, ValidationError
    >>> try:
    ...     TypeAdapter(int).validate_python("x")
    ... except ValidationError as error:
    ...     found = reason_of(error)
    >>> found
    'it should be a whole number'
    """
    first = error.errors(include_url=False)[0]
    said = first["msg"].removeprefix("Value error, ")
    return _WORDS.get(first["type"], said.replace("Input should be", "it should be", 1))
