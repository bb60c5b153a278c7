"""Endpoints of the parameters."""

from chassis.errors import BadRequest
from chassis.web import Page, PageRequest, Paging, SessionDep, new_router, page_of, problems
from services.governance.schemas.parameters import ParametersRead
from services.governance.service import parameters as service

router = new_router("governance")


@router.get(
    "/v1/parameters",
    operation_id="get_parameters",
    summary="The parameters in force",
    response_model=ParametersRead,
    responses=problems(),
)
async def get_parameters(session: SessionDep) -> ParametersRead:
    """The newest version that has taken effect."""
    return ParametersRead.of(await service.read_current(session))


@router.get(
    "/v1/parameters/history",
    operation_id="list_parameters_history",
    summary="Every version of the parameters, newest first",
    response_model=Page[ParametersRead],
    responses=problems(),
)
async def list_parameters_history(session: SessionDep, paging: Paging) -> Page[ParametersRead]:
    """Versions that are yet to take effect are among them."""
    rows = await service.list_history(session, limit=paging.limit + 1, below=_below(paging))
    items, next_cursor = page_of(rows, paging, key=lambda row: (row.version,))
    return Page(items=[ParametersRead.of(row) for row in items], next_cursor=next_cursor)


def _below(paging: PageRequest) -> int | None:
    if paging.after is None:
        return None
    text = paging.after[0] if len(paging.after) == 1 else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadRequest("cursor is what next_cursor of the same list gave", code="bad_page")
    return int(text)
