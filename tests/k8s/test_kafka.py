"""Kafka's resources follow the event registry and the services' subscriptions."""

from pathlib import Path

import pytest

from chassis.bus import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES, Subscriptions, dead_letter_topic
from chassis.testing import ROOT
from events.registry import PARTITIONS, TOPICS
from scripts import k8s_topics
from services.identity.handlers import subscriptions as identity
from services.jobs.handlers import subscriptions as jobs
from services.rewards.handlers import subscriptions as rewards
from tests.k8s.manifests import SERVICES, Resource, deployments, of_kind, plain_env

SUBSCRIPTIONS = {subscriptions.group: subscriptions for subscriptions in (identity, jobs, rewards)}
HANDLERS = {path.parent.name for path in (ROOT / "services").glob("*/handlers.py")}


def dead_letters(subscriptions: Subscriptions) -> set[str]:
    return {dead_letter_topic(topic, subscriptions.group) for topic in subscriptions.topics()}


def allowed(user: Resource, kind: str, name: str) -> set[str]:
    """What a user may do with a topic or group."""
    found: set[str] = set()
    for acl in user["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        is_it = name == resource["name"] or (resource["patternType"] == "prefix" and name.startswith(resource["name"]))
        if resource["type"] == kind and is_it:
            found |= set(acl["operations"])
    return found


def test_every_consuming_service_is_known() -> None:
    assert set(SUBSCRIPTIONS) == HANDLERS
    assert {subscriptions.group for subscriptions in k8s_topics.SUBSCRIPTIONS} == HANDLERS


def test_every_topic_of_the_registry_and_its_dead_letters_exist(resources: list[Resource]) -> None:
    topics = of_kind(resources, "KafkaTopic")
    dead = set().union(*map(dead_letters, SUBSCRIPTIONS.values()))
    assert set(topics) == {*TOPICS, *dead}
    for name, topic in topics.items():
        assert topic["spec"]["partitions"] == PARTITIONS, name
        assert topic["spec"]["config"]["retention.ms"] == -1, f"{name} forgets, so nothing can be replayed"
        least = MAX_DEAD_LETTER_BYTES if name in dead else MAX_RECORD_BYTES
        assert topic["spec"]["config"]["max.message.bytes"] > least, name


def test_an_acknowledged_event_is_on_two_brokers(prod: list[Resource]) -> None:
    for name, topic in of_kind(prod, "KafkaTopic").items():
        assert (topic["spec"]["replicas"], topic["spec"]["config"]["min.insync.replicas"]) == (3, 2), name
    brokers = of_kind(prod, "Kafka")["kafka"]["spec"]["kafka"]["config"]
    assert brokers["min.insync.replicas"] == 2
    assert brokers["unclean.leader.election.enable"] is False


def test_the_file_of_topics_is_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["k8s_topics", "--check"])
    assert k8s_topics.main() == 0
    stale = tmp_path / "topics.yaml"
    stale.write_text(k8s_topics.render().replace("jobs.transaction\n", "jobs.transactions\n"))
    monkeypatch.setattr(k8s_topics, "TARGET", stale)
    monkeypatch.setattr(k8s_topics, "ROOT", tmp_path)
    assert k8s_topics.main() == 1


def test_nobody_makes_topics_or_gets_in_without_a_password(resources: list[Resource]) -> None:
    kafka = of_kind(resources, "Kafka")["kafka"]["spec"]["kafka"]
    assert kafka["config"]["auto.create.topics.enable"] is False
    assert kafka["authorization"] == {"type": "simple"}
    for listener in kafka["listeners"]:
        assert listener["tls"] is True
        assert listener["authentication"] == {"type": "scram-sha-512"}


def test_a_user_may_do_what_its_service_does_and_no_more(resources: list[Resource]) -> None:
    users = of_kind(resources, "KafkaUser")
    assert set(users) == {*(f"kafka-{service}" for service in SERVICES), "kafka-keda"}
    topics = set(of_kind(resources, "KafkaTopic"))
    for service in SERVICES:
        user, subscriptions = users[f"kafka-{service}"], SUBSCRIPTIONS.get(service)
        read = set(subscriptions.topics()) if subscriptions else set()
        dead = dead_letters(subscriptions) if subscriptions else set()
        for topic in topics:
            may = allowed(user, "topic", topic)
            assert ("Read" in may) is (topic in read), f"{service} {topic}"
            assert ("Write" in may) is (topic.startswith(f"{service}.") or topic in dead), f"{service} {topic}"
        for group in SERVICES:
            assert ("Read" in allowed(user, "group", group)) is (group == service and bool(read))


def test_autoscaling_may_only_look(resources: list[Resource]) -> None:
    acls = of_kind(resources, "KafkaUser")["kafka-keda"]["spec"]["authorization"]["acls"]
    assert {operation for acl in acls for operation in acl["operations"]} == {"Describe"}


def test_the_workers_log_in_as_their_user(resources: list[Resource]) -> None:
    users = of_kind(resources, "KafkaUser")
    workers = [workload for workload in deployments(resources) if workload.role == "worker"]
    assert {plain_env(resources, worker.app())["KAFKA_SASL_USERNAME"] for worker in workers} == set(users) - {
        "kafka-keda"
    }
