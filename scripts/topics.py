"""Create the topics of Kafka: those of all events, and the dead-letter topics of every group that reads them.

`python -m scripts.topics [--bus-url kafka://…]`: may be run again and again; needed where services may not create
topics themselves (`KAFKA_CREATE_TOPICS=false`).
"""

import asyncio
import importlib
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from pydantic import ValidationError

from chassis.bus import BusUnavailable, Subscriptions, bus_from_url, dead_letter_topic
from chassis.settings import KafkaSettings
from events.registry import PARTITIONS, TOPICS
from scripts.told import NotTold, told

SERVICES = Path(__file__).resolve().parent.parent / "services"

app = typer.Typer(add_completion=False, help=__doc__)


def all_topics() -> list[str]:
    """Every topic of the network, sorted."""
    letters = {dead_letter_topic(topic, one.group) for one in all_subscriptions() for topic in one.topics()}
    return sorted({*TOPICS, *letters})


def all_subscriptions() -> list[Subscriptions]:
    """What each service that reads events subscribes to."""
    handlers = sorted({*SERVICES.glob("*/handlers.py"), *SERVICES.glob("*/handlers/__init__.py")})
    names = [path.relative_to(SERVICES).parts[0] for path in handlers]
    return [importlib.import_module(f"services.{name}.handlers").subscriptions for name in names]


@app.command(help=__doc__)
def create(
    bus_url: Annotated[
        str, typer.Option("--bus-url", help="kafka://host:port; default: BUS_URL, set or a file of SECRETS_DIR")
    ] = "",
) -> None:
    """Create what is missing and list what is there."""
    try:
        asyncio.run(_create(bus_url or told("BUS_URL")))
    except NotTold as error:
        _fail(f"{error}: give --bus-url")
    except ValidationError as error:
        wrong = error.errors()[0]
        _fail(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}")
    except (BusUnavailable, ValueError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _fail(" ".join(str(error).split()) or type(error).__name__)


async def _create(url: str) -> None:
    settings = KafkaSettings()
    settings.kafka_create_topics = True  # it is what we are here for
    bus = bus_from_url(url, partitions=PARTITIONS, kafka=settings)
    try:
        topics = all_topics()
        await bus.create_topics(topics)
        # One by one: a busy broker needs a while to open the logs of all that it has just made.
        found = {at.topic for topic in topics for at in await bus.end_offsets([topic])}
    finally:
        await bus.close()
    print(*sorted(found), sep="\n")


def _fail(reason: str) -> None:
    typer.echo(f"topics: {reason}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
