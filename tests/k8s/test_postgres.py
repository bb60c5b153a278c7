"""One PostgreSQL cluster, a database and an owner for each service, backups."""

from urllib.parse import urlsplit

from scripts.k8s_secrets import make_secrets
from tests.k8s.manifests import SERVICES, Resource, deployments, of_kind, plain_env

KEYS = {"rewards_key": "0x" + "11" * 32, "relay_key": "0x" + "22" * 32}


def test_every_service_owns_one_database(resources: list[Resource]) -> None:
    databases = {found["spec"]["name"]: found["spec"] for found in of_kind(resources, "Database").values()}
    assert set(databases) == {f"btrst_{service}" for service in SERVICES}
    made = make_secrets(rpc_urls="https://node.example", admin_email="a@example.com", **KEYS)
    for service in SERVICES:
        url = urlsplit(made[service][f"{service.upper()}_DATABASE_URL"])
        spec = databases[url.path.removeprefix("/")]
        assert url.username == spec["owner"] == service
        assert url.hostname == f"{spec['cluster']['name']}-rw"
        assert url.password == made[f"postgres-{service}"]["password"]
        assert url.query == "sslmode=verify-full"
        assert spec["databaseReclaimPolicy"] == "retain"


def test_every_owner_is_a_role_with_a_password_of_its_own(resources: list[Resource]) -> None:
    roles = of_kind(resources, "Cluster")["postgres"]["spec"]["managed"]["roles"]
    assert {role["name"]: role["passwordSecret"]["name"] for role in roles} == {
        service: f"postgres-{service}" for service in SERVICES
    }
    assert all(role["login"] for role in roles)


def test_nobody_connects_without_tls_or_as_superuser(resources: list[Resource]) -> None:
    spec = of_kind(resources, "Cluster")["postgres"]["spec"]
    assert spec["postgresql"]["pg_hba"][0] == "hostnossl all all all reject"
    assert spec["enableSuperuserAccess"] is False


def test_production_survives_a_machine_and_keeps_backups(prod: list[Resource]) -> None:
    spec = of_kind(prod, "Cluster")["postgres"]["spec"]
    assert spec["instances"] == 3
    assert spec["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "required"}
    (archiver,) = [plugin for plugin in spec["plugins"] if plugin.get("isWALArchiver")]
    (scheduled,) = of_kind(prod, "ScheduledBackup").values()
    assert archiver["parameters"]["barmanObjectName"] in of_kind(prod, "ObjectStore")
    assert scheduled["spec"]["pluginConfiguration"]["name"] == archiver["name"]
    assert scheduled["spec"]["cluster"]["name"] == "postgres"


def test_there_are_connections_for_every_process(prod: list[Resource]) -> None:
    """The pools of all processes there can be, and one more of each while versions change, fit into the server."""
    scalers = [
        found["spec"] for kind in ("HorizontalPodAutoscaler", "ScaledObject") for found in of_kind(prod, kind).values()
    ]
    most = {spec["scaleTargetRef"]["name"]: spec.get("maxReplicas") or spec["maxReplicaCount"] for spec in scalers}
    wanted = 0
    for workload in deployments(prod):
        if workload.service in SERVICES:
            replicas = most.get(workload.name) or workload.resource["spec"]["replicas"]
            pool = int(plain_env(prod, workload.app())[f"{workload.service.upper()}_DATABASE_POOL_SIZE"])
            wanted += (replicas + 1) * 2 * pool  # a pool may double in a burst
    taken = int(of_kind(prod, "Cluster")["postgres"]["spec"]["postgresql"]["parameters"]["max_connections"])
    assert wanted + 10 <= taken
