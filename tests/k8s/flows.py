"""Who may open a connection to whom under a set of NetworkPolicies.

Source: the Kubernetes API reference of networking.k8s.io/v1 NetworkPolicy (policies add up; a pod that none selects
for a direction is open in it; both ends must allow a connection inside the namespace).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from tests.k8s.manifests import Resource, deployments, matches, of_kind, workloads

PORTS = (53, 443, 4318, 5432, 6443, 8000, 8080, 8443, 9090, 9091, 9093, 9187)


@dataclass(frozen=True)
class Peer:
    """One end: a pod of the namespace, a pod of another one, or an address."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: Mapping[str, str] | None = None
    """Labels of the namespace, None for ours."""

    address: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    """Named ports."""

    @property
    def is_inside(self) -> bool:
        return self.namespace is None and not self.address


def peers_of(resources: Sequence[Resource]) -> list[Peer]:
    """Everybody who could speak or be spoken to."""
    found = [
        Peer(workload.name, workload.labels, ports={"http": workload.app()["ports"][0]["containerPort"]})
        for workload in deployments(resources)
    ]
    found += [Peer(workload.name, workload.labels) for workload in workloads(resources) if workload.kind == "Job"]
    kafka = {"strimzi.io/cluster": "kafka", "strimzi.io/kind": "Kafka"}
    return [
        *found,
        Peer("kafka", kafka | {"strimzi.io/name": "kafka-kafka"}),
        Peer("entity-operator", kafka | {"strimzi.io/name": "kafka-entity-operator"}),
        Peer("postgres", {"cnpg.io/cluster": "postgres"}),
        Peer("intruder", {"app": "intruder"}),
        *(
            Peer(access, {"app": access}, {"btrst.network/access": access})
            for access in ("ingress", "monitoring", "autoscaling", "operators")
        ),
        Peer("elsewhere", {"app": "elsewhere"}, {"kubernetes.io/metadata.name": "elsewhere"}),
        Peer("dns", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"}),
        Peer("internet", address="203.0.113.1"),
        Peer("intranet", address="10.1.2.3"),
    ]


def _is_meant(rule_peer: Resource, peer: Peer) -> bool:
    if "ipBlock" in rule_peer:
        block = rule_peer["ipBlock"]
        if not peer.address or ip_address(peer.address) not in ip_network(block["cidr"]):
            return False
        return not any(ip_address(peer.address) in ip_network(one) for one in block.get("except", []))
    if peer.address:
        return False
    if "namespaceSelector" in rule_peer:
        if not matches(rule_peer["namespaceSelector"], dict(peer.namespace or {})):
            return False
    elif peer.namespace is not None:
        return False
    return matches(rule_peer.get("podSelector", {}), dict(peer.labels))


def _allows(policies: Sequence[Resource], direction: str, pod: Peer, other: Peer, port: int) -> bool:
    selecting = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"]["policyTypes"] and matches(policy["spec"]["podSelector"], dict(pod.labels))
    ]
    word = "from" if direction == "Ingress" else "to"
    named = pod.ports if direction == "Ingress" else other.ports
    for spec in selecting:
        for rule in spec.get(direction.lower(), []):
            ports = {
                named.get(one["port"], -1) if isinstance(one["port"], str) else one["port"] for one in rule["ports"]
            }
            if port in ports and any(_is_meant(peer, other) for peer in rule[word]):
                return True
    return not selecting


def flows(resources: Sequence[Resource]) -> Iterator[tuple[str, str, int]]:
    """(from, to, port) of every connection that may be opened with an end in our namespace."""
    policies = list(of_kind(resources, "NetworkPolicy").values())
    everybody = peers_of(resources)
    for source in everybody:
        for target in everybody:
            if not (source.is_inside or target.is_inside):
                continue
            for port in PORTS:
                goes = not source.is_inside or _allows(policies, "Egress", source, target, port)
                comes = not target.is_inside or _allows(policies, "Ingress", target, source, port)
                if goes and comes:
                    yield source.name, target.name, port
