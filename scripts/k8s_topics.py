"""Write the KafkaTopic resources: one for each topic of the event registry, one for each dead-letter topic.

Usage: python -m scripts.k8s_topics [--check]
"""

import sys
from pathlib import Path

from chassis.bus import Subscriptions, dead_letter_topic
from chassis.bus_kafka.cluster import topic_settings
from events.registry import PARTITIONS, TOPICS
from services.identity.handlers import subscriptions as identity
from services.jobs.handlers import subscriptions as jobs
from services.rewards.handlers import subscriptions as rewards

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "deploy/k8s/components/kafka/topics.yaml"
SUBSCRIPTIONS: tuple[Subscriptions, ...] = (identity, jobs, rewards)
REPLICAS = 3

HEAD = """\
# Written by `python -m scripts.k8s_topics` from the event registry and the services' subscriptions.
# Six partitions for ever: a key must stay in its partition. Events are kept, so that every consumer can be replayed.
"""
TOPIC = """\
---
apiVersion: kafka.strimzi.io/v1
kind: KafkaTopic
metadata:
  name: {name}
  labels:
    strimzi.io/cluster: kafka
spec:
  partitions: {partitions}
  replicas: {replicas}
  config:
{config}
"""


def all_topics() -> list[str]:
    """Every topic of a deployment: what services publish to, and the dead-letter topics of those who consume."""
    dead = {
        dead_letter_topic(topic, subscriptions.group)
        for subscriptions in SUBSCRIPTIONS
        for topic in subscriptions.topics()
    }
    return sorted({*TOPICS, *dead})


def render() -> str:
    """The file's text."""
    return HEAD + "".join(
        TOPIC.format(name=name, partitions=PARTITIONS, replicas=REPLICAS, config=_config(name)) for name in all_topics()
    )


def _config(topic: str) -> str:
    """What the services would create it with themselves."""
    return "\n".join(f"    {name}: {value}" for name, value in topic_settings(topic, REPLICAS).items())


def main() -> int:
    """Write the file, or with `--check` say whether it is what it would become; the exit code."""
    if "--check" not in sys.argv:
        TARGET.write_text(render())
        return 0
    if TARGET.read_text() == render():
        return 0
    print(f"{TARGET.relative_to(ROOT)} is not up to date: run python -m scripts.k8s_topics", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
