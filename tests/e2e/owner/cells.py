"""The cells of the matrix: each operation × who asks × whose it is × what is added to the request."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

from chassis.ids import new_id
from tests.e2e.owner.model import Actor, Cell, Resource, Sent, World
from tests.e2e.owner.rules import Rules, Untold, expected, expected_with_extra_field, turned_away
from tests.e2e.owner.surface import ADDRESS, Operation, Reference, Schema

EXTRAS: Mapping[str, Any] = {
    "role": "admin",
    "roles": ["admin"],
    "balance": 10**24,
    "is_admin": True,
    "status": "paid",
    "id": str(new_id()),
    "member_id": str(new_id()),
}
"""What a hostile client adds in the hope that it is believed."""

NOBODY = "0x" + "5a" * 20


def request(
    rules: Rules,
    operation: Operation,
    actor: Actor,
    target_id: str = "",
    *,
    body: Any = None,
    query: Mapping[str, Any] | None = None,
    key: str = "",
) -> Sent:
    """The operation's request by this actor.

    Raises: Untold when the document does not say enough to make one.
    """
    if len(operation.ids) > 1:
        raise Untold(f"{operation.id} takes more than one id: teach the owner matrix to fill them")
    path = operation.path
    for name in operation.ids:
        path = path.replace(f"{{{name}}}", quote(target_id, safe=""))
    fitting = {name: _fit(operation, name) for name in sorted(operation.required_query)}
    values = {**fitting, **rules.queries.get(operation.id, {}), **(query or {})}
    target = path + (f"?{urlencode(values, doseq=True)}" if values else "")
    key = key or (str(uuid4()) if operation.method == "POST" else "")
    return Sent(operation.method, target, body, actor.token, key, operation.streams)


def _fit(operation: Operation, name: str) -> Any:
    schema: Schema = operation.query[name]
    if schema.get("pattern") == ADDRESS:
        return NOBODY
    if "enum" in schema:
        return schema["enum"][0]
    raise Untold(f"{operation.id} needs ?{name}=: teach the owner matrix what fits")


def body_of(operation: Operation) -> Any:
    """The document's example of the body. Raises: Untold without one."""
    if operation.body is None:
        return None
    if operation.example is None:
        raise Untold(f"the body of {operation.id} has no example in the document: the owner matrix sends that")
    return operation.example


def targets(world: World, operation: Operation) -> list[Resource | None]:
    """What of the first group the operation can be tried on; one None when it takes no id.

    Raises: Untold.
    """
    if not operation.ids:
        return [None]
    found = world.resources.get(operation.ids[0])
    if not found:
        raise Untold(f"{operation.id} takes {operation.ids[0]}: the world of the owner matrix has none")
    return [*found]


def plain(rules: Rules, world: World, operation: Operation) -> Iterator[Cell]:
    """The request as it should be, from everybody, on everything: what is refused, and what is read.

    Raises: Untold.
    """
    body = body_of(operation)
    for resource in targets(world, operation):
        for actor in world.actors:
            statuses = expected(rules, operation, actor, resource)
            if statuses is not None:
                sent = request(rules, operation, actor, resource.id if resource else "", body=body)
                yield Cell(operation, actor, resource, "plain", sent, statuses)


def unknown(rules: Rules, world: World, operation: Operation) -> Iterator[Cell]:
    """For everybody from whom something is hidden: the same request for what does not exist."""
    if not operation.ids or operation.ids == ("address",):
        return
    for actor in world.actors:
        if any(cell.expected == {404} and cell.actor is actor for cell in plain(rules, world, operation)):
            sent = request(rules, operation, actor, str(new_id()), body=body_of(operation))
            yield Cell(operation, actor, None, "unknown id", sent, frozenset({404}))


def extras(rules: Rules, world: World, operation: Operation) -> Iterator[Cell]:
    """The request with fields that it does not have: in the body, in each object of the body, or in the query.

    Raises: Untold.
    """
    resource = targets(world, operation)[0]
    target_id = resource.id if resource else ""
    if operation.reads:
        query = {name: value for name, value in EXTRAS.items() if name not in operation.query}
        for actor in world.actors:
            sent = request(rules, operation, actor, target_id, query=query)
            statuses = expected(rules, operation, actor, resource)
            assert statuses is not None
            yield Cell(operation, actor, resource, "extra query", sent, statuses)
        return
    for actor in world.actors:
        for name, where, body in _with_extras(rules, operation):
            statuses = expected_with_extra_field(rules, operation, actor)
            sent = request(rules, operation, actor, target_id, body=body)
            yield Cell(operation, actor, resource, f"extra {where}{name}", sent, statuses, field=name)


def _with_extras(rules: Rules, operation: Operation) -> Iterator[tuple[str, str, Any]]:
    """(field, where, body) for each extra field and each object of the body."""
    body = body_of(operation) or {}
    for name, value in EXTRAS.items():
        if name in operation.fields:
            if (operation.id, name) not in rules.known_fields:
                raise Untold(f"{operation.id} takes {name} in its body: say in the rules who may set it")
            if rules.known_fields[operation.id, name] is None:
                continue
        yield name, "", {**body, name: value}
    for field, value in body.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            for name, extra in EXTRAS.items():
                changed = copy.deepcopy(body)
                changed[field][0][name] = extra
                yield name, f"{field}.", changed


def references(rules: Rules, world: World, operation: Operation) -> Iterator[Cell]:
    """What is another's, named in the query or the body instead of the path.

    Raises: Untold.
    """
    for reference in operation.references:
        if reference.kind == "cursor":
            yield from _cursors(rules, world, operation)
            continue
        statuses = rules.references.get((operation.id, reference.name))
        if statuses is None:
            raise Untold(f"{operation.id} takes {reference.name}: say in the rules what a stranger's answer is")
        value, owners = _value(world, reference)
        body = copy.deepcopy(rules.bodies.get((operation.id, reference.name), body_of(operation)))
        if reference.where == "body":
            _put(body, reference.path, value)
        query = {reference.name: value} if reference.where == "query" else None
        resource = targets(world, operation)[0]
        for actor in world.actors:
            if actor.member_id in owners:
                continue
            sent = request(rules, operation, actor, resource.id if resource else "", body=body, query=query)
            answers = frozenset({401}) if turned_away(rules, operation, actor) else statuses
            empty = reference.kind == "id" and operation.pages
            yield Cell(operation, actor, resource, f"another's {reference.name}", sent, answers, empty=empty)


def _value(world: World, reference: Reference) -> tuple[str, frozenset[str]]:
    name = "address" if reference.kind == "address" else reference.path[-1]
    if name not in world.references:
        raise Untold(f"the world of the owner matrix has nobody's {name}")
    return world.references[name]


def _put(body: Any, path: tuple[str, ...], value: str) -> None:
    for name in path[:-1]:
        body = body[name]
        body = body[0] if isinstance(body, list) else body
    body[path[-1]] = value


def first_pages(rules: Rules, world: World, operation: Operation) -> Iterator[Cell]:
    """The beginning of a list, one item long, for everybody: whose second page begins where."""
    if not operation.pages:
        return
    for resource in targets(world, operation):
        for actor in world.actors:
            statuses = expected(rules, operation, actor, resource)
            assert statuses is not None
            sent = request(rules, operation, actor, resource.id if resource else "", query={"limit": 1})
            yield Cell(operation, actor, resource, "page of one", sent, statuses)


def _cursors(rules: Rules, world: World, operation: Operation) -> Iterator[Cell]:
    if operation.id in rules.one_page:
        return
    if operation.id not in world.cursors:
        raise Untold(f"nobody of the first group has a second page of {operation.id}")
    cursor, owner = world.cursors[operation.id]
    resource = targets(world, operation)[0]
    for actor in world.actors:
        if actor.member_id == owner:
            continue
        statuses = expected(rules, operation, actor, resource)
        assert statuses is not None
        sent = request(rules, operation, actor, resource.id if resource else "", query={"cursor": cursor})
        if statuses == {200}:
            statuses = frozenset({200, 400})
        yield Cell(operation, actor, resource, "another's cursor", sent, statuses)


def flags(rules: Rules, world: World, operation: Operation) -> Iterator[Cell]:
    """Each switch of a list, turned on: `mine` of nobody is 401."""
    for name, schema in operation.query.items():
        if schema.get("type") != "boolean":
            continue
        for actor in world.actors:
            sent = request(rules, operation, actor, query={name: "true"})
            yield Cell(
                operation,
                actor,
                None,
                f"with {name}",
                sent,
                frozenset({200 if actor.token and not actor.ended else 401}),
            )


def borrowed_keys(rules: Rules, world: World, found: Mapping[tuple[str, str], Operation]) -> Iterator[Cell]:
    """What the first group sent, sent again by others with the same Idempotency-Key: never the first answer.

    `found` is operations by method and path template.
    """
    for owner, sent in world.posted:
        operation, target_id = _operation_of(sent, found)
        if not operation.ids:
            continue
        resource = next((one for one in targets(world, operation) if one and one.id == target_id), None)
        if resource is None:
            continue
        for actor in world.actors:
            statuses = expected(rules, operation, actor, resource)
            if actor.member_id != owner and statuses is not None:
                again = Sent(sent.method, sent.target, sent.body, actor.token, sent.key)
                yield Cell(operation, actor, resource, "another's key", again, statuses)


def _operation_of(sent: Sent, found: Mapping[tuple[str, str], Operation]) -> tuple[Operation, str]:
    parts = sent.target.partition("?")[0].split("/")
    for (method, path), operation in found.items():
        names = path.split("/")
        if method == sent.method and len(names) == len(parts):
            pairs = list(zip(names, parts, strict=True))
            if all(name == part or name.startswith("{") for name, part in pairs):
                return operation, next((part for name, part in pairs if name.startswith("{")), "")
    raise Untold(f"{sent.method} {sent.target} is no operation of the document")


def credentials(rules: Rules, world: World, found: Mapping[str, Operation]) -> Iterator[Cell]:
    """Proofs of somebody else, or for something else: they prove nothing."""
    for operation_id, body, owner in world.credentials:
        operation = found[operation_id]
        for actor in world.actors:
            if actor.member_id == owner:
                continue
            sent = request(rules, operation, actor, body=body)
            yield Cell(operation, actor, None, "another's proof", sent, frozenset({401}))
