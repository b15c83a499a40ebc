"""An action called with JSON instead of models: what the command line does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ValidationError

from exact_source.actions.mistakes import told
from exact_source.actions.registry import Action
from exact_source.errors import InvalidInput


def read_input(text: str) -> Mapping[str, Any]:
    """The JSON object of an input; numbers keep their digits."""
    try:
        given = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        told = f" ({error})" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput(f"the input is not JSON{told}") from None
    if not isinstance(given, dict):
        raise InvalidInput("the input is not a JSON object")
    return given


def checked(action: Action, given: Mapping[str, Any]) -> BaseModel:
    """The input as a model. InvalidInput naming every field that does not fit."""
    try:
        return action.input().model_validate(given)
    except ValidationError as error:
        raise InvalidInput(f"{action.name}: {told(error)}") from None


def as_json(result: BaseModel) -> dict[str, Any]:
    """What an action gave, as JSON: decimals as text, digit for digit; only fields that were read."""
    given: dict[str, Any] = result.model_dump(mode="json", exclude_unset=True)
    return given
