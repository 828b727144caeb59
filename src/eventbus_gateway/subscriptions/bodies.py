"""The common shape of JSON bodies about subscriptions, and what is wrong with one, in sentences."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from eventbus_gateway.errors import EventError, Fault, InvalidSubscription

_MAX_FAULTS = 100
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "model_type": "expected an object",
    "dict_type": "expected an object",
    "string_type": "expected a string",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "tuple_type": "expected an array",
    "list_type": "expected an array",
    "literal_error": "expected {expected}",
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
    "too_short": "expected at least {min_length} entries",
    "too_long": "expected at most {max_length} entries",
    "string_too_short": "expected at least {min_length} characters",
    "string_too_long": "expected at most {max_length} characters",
}
EXPECTED = "expected"
"""Kind of the errors whose message is a sentence of ours."""

M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """A frozen JSON object with names in camel case, whose unknown fields are faults."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=False,
        validate_by_alias=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


def expected(sentence: str) -> PydanticCustomError:
    """What a validator raises: a sentence that does not repeat the value."""
    # As context, so that braces in it mean nothing.
    return PydanticCustomError(EXPECTED, "{sentence}", {"sentence": sentence})


def parsed(
    model: type[M],
    document: object,
    context: object,
    further: Callable[[], Sequence[Fault]] = tuple,
    refusal: type[EventError] = InvalidSubscription,
) -> M:
    """A body as its model.

    Args:
        model: what it must be.
        document: parsed JSON.
        context: what the model's validators need.
        further: checks that the model does not make; their faults are told together with the model's.
        refusal: the error for what is no such body.

    Raises:
        EventError: the refusal, with every fault.
    """
    found: M | None = None
    faults: list[Fault] = []
    try:
        found = model.model_validate(document, context=context)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        faults = [Fault(pointer(detail["loc"]), _sentence(detail)) for detail in details]
    faults += further()
    if found is None or faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise refusal(f"{refusal.title}: {count}.", faults[:_MAX_FAULTS])
    return found


def by_type(kinds: Mapping[str, type[BaseModel]]) -> Callable[[object, ValidationInfo], object]:
    """A validator that takes an object as the model that its ``type`` names.

    Other than those of a union, the faults of the model are found at their places.

    Args:
        kinds: model by type.
    """
    *others, last = (f"'{kind}'" for kind in kinds)
    names = f"{', '.join(others)} or {last}"

    def chosen(value: object, info: ValidationInfo) -> object:
        if isinstance(value, BaseModel):
            return value
        if not isinstance(value, dict):
            raise expected("expected an object")
        kind = value.get("type")
        model = kinds.get(kind) if isinstance(kind, str) else None
        if model is not None:
            return model.model_validate(value, context=info.context)
        fault = expected(f"expected {names}" if "type" in value else "is missing")
        raise ValidationError.from_exception_data("", [InitErrorDetails(type=fault, loc=("type",), input=None)])

    return chosen


def faults_below(place: str, check: Callable[[Any], object], document: object) -> list[Fault]:
    """What somebody else's check finds wrong with a part of a body.

    Args:
        place: pointer to the part.
        check: raises an EventError.
        document: the part.
    """
    try:
        check(document)
    except EventError as error:
        return [Fault(place + fault.pointer, fault.detail) for fault in error.faults]
    return []


def pointer(place: Sequence[str | int]) -> str:
    """A place as RFC 6901 JSON pointer."""
    # Pydantic marks keys of maps that are wrong themselves.
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place if part != "[key]")


def _sentence(detail: ErrorDetails) -> str:
    if detail["type"] == EXPECTED:
        return str(detail["msg"])
    # Messages of other kinds are not repeated: they might quote the value.
    bounds = {
        name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in detail.get("ctx", {}).items()
    }
    return _SENTENCES.get(detail["type"], "is not valid").format(**bounds)
