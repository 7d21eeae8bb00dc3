"""Corrections: what people say where the model was wrong, in and out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from domain.classification import SENTIMENT
from domain.correction import Correction, DocumentsUnknown, StandingCorrection
from service.corrections import FIELDS, BadCorrection, check, correction_of
from service.http.bodies import BoundedBody, items_of
from service.http.errors import PROBLEMS, FieldError, Problem, Rejected
from service.http.parameters import Parameters
from service.http.parts import GivenParts, Parts
from service.http.views import View

router = APIRouter(prefix="/v1", responses=PROBLEMS)

_EXAMPLE = {"id": "doc-17", "label": "negative", "by": "ann", "note": "a profit warning"}
_SCHEMA = {
    "type": "object",
    "required": ["id", "label", "by"],
    "additionalProperties": False,
    "properties": {
        name: {
            "type": ["string", "null"] if name in ("label", "entity") else "string",
            "description": description,
            **({"default": SENTIMENT} if name == "task" else {}),
        }
        for name, description in FIELDS.items()
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_SCHEMA, {"type": "array", "items": _SCHEMA}]},
                "examples": {
                    "one": {"value": _EXAMPLE},
                    "many": {"value": [_EXAMPLE, {"id": "doc-18", "task": "topic", "label": "Macro", "by": "ann"}]},
                },
            }
        },
    }
}


class SaidView(View):
    """What a person says of a document."""

    id: str = Field(description="The document's.")
    task: str = Field(examples=[SENTIMENT])
    label: str | None = Field(description="Null: taken back.", examples=["negative"])
    entity: str | None = Field(description="The symbol that the label is about; null: the whole document.")
    by: str
    note: str


class RecordedView(SaidView):
    """A correction that is on record."""

    @classmethod
    def of(cls, said: Correction) -> Self:
        """From the domain."""
        return cls(**_fields(said))


class RecordedCorrections(View):
    """In the order in which they were sent."""

    recorded: int = Field(examples=[1])
    corrections: list[RecordedView]


class StandingView(SaidView):
    """A correction that counts, with the text that it is about."""

    recorded_at: datetime
    text: str = Field(description="What the model read: the title and the text.")

    @classmethod
    def of(cls, standing: StandingCorrection) -> Self:
        """From the domain."""
        return cls(**_fields(standing.correction), recorded_at=standing.recorded_at, text=standing.text)


class CorrectionsView(View):
    """Corrections that stand, the newest first."""

    corrections: list[StandingView]


class CorrectionsQuery(Parameters):
    """Which corrections."""

    task: str | None = Field(default=None, min_length=1, description="Only of this task.", examples=[SENTIMENT])
    limit: int = Field(default=100, ge=1, le=1000, description="How many at most.")


@router.post(
    "/corrections",
    status_code=201,
    summary="Say what one document's label should have been, or many documents'",
    openapi_extra=_BODY,
    responses={413: {"model": Problem, "description": "The body is too large, or holds too many corrections."}},
)
async def post_corrections(parts: GivenParts, body: BoundedBody) -> RecordedCorrections:
    """All of them or none: when one is not valid, `errors` names each by its index and field, and none is recorded.
    The newest word on a document, task and entity counts; scores, windows and alerts stay as they are."""
    items = items_of(body, noun="correction", limit=parts.policy.max_documents)
    said = await run_in_threadpool(_record, parts, items)
    return RecordedCorrections(recorded=len(said), corrections=[RecordedView.of(one) for one in said])


@router.get("/corrections", summary="Corrections that stand, the newest first")
def corrections(parts: GivenParts, query: Annotated[CorrectionsQuery, Query()]) -> CorrectionsView:
    """The newest correction of each document, task and entity, without those taken back."""
    standing = parts.corrections.standing(task=query.task, limit=query.limit)
    return CorrectionsView(corrections=[StandingView.of(one) for one in reversed(standing)])


def _fields(said: Correction) -> dict[str, Any]:
    return {
        "id": said.document_id,
        "task": said.task,
        "label": said.label,
        "entity": said.entity,
        "by": said.by,
        "note": said.note,
    }


def _record(parts: Parts, items: Sequence[object]) -> list[Correction]:
    model = parts.model()
    said: list[Correction] = []
    wrong: list[FieldError] = []
    for index, item in enumerate(items):
        try:
            one = correction_of(item)
            check([one], model)
            said.append(one)
        except BadCorrection as error:
            wrong.append(_error(index, error.field, error.reason, str(error)))
    if wrong:
        raise _rejected(wrong, items)
    try:
        parts.corrections.add(said)
    except DocumentsUnknown as error:
        message = "the history holds no document with this id: give it as GET /v1/documents shows it"
        unknown = [index for index, one in enumerate(said) if one.document_id in error.ids]
        raise _rejected([_error(index, "id", error.reason, message) for index in unknown], items) from error
    return said


def _error(index: int, field: str | None, reason: str, message: str) -> FieldError:
    parameter = f"[{index}]" + (f".{field}" if field else "")
    return FieldError(parameter=parameter, index=index, reason=reason, message=message)


def _rejected(wrong: Sequence[FieldError], items: Sequence[object]) -> Rejected:
    return Rejected(f"{len(wrong)} of {len(items)} corrections are not valid; none was recorded", wrong)
