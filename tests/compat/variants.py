"""Real event classes with something changed, as a pull request would change them."""

from typing import Any

from pydantic import create_model

from chassis.envelope import Event


def variant(event: type[Event], *, without: str = "", key: str = "", type_: str = "", **fields: Any) -> type[Event]:
    """`event` without a field, with another key or type, or with fields added or replaced (name = (type, default))."""
    # Not in the class itself: known_events() of this process must not take it for an event of the network.
    facts = type("Facts", (), {"type_": type_ or event.type_, "key_field": key or event.key_field})
    kept: dict[str, Any] = {
        name: (field.annotation, field) for name, field in event.model_fields.items() if name != without
    }
    changed: type[Event] = create_model(
        event.__name__, __base__=(facts, Event), __doc__=event.__doc__, **(kept | fields)
    )
    return changed
