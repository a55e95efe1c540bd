"""What the chart makes of values: a matrix of them, each valid for a cluster, each pod as tight as it can be."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from config.celeryconfig import WORKER
from config.settings import load_settings
from tests.chart.rendered import ALL_ON, CHART, ROOT, example, of_kind, render
from workers.embedded.procfile import read_procfile
from workers.queue.lifespan import DRAIN_SECONDS
from workers.web.server import STOP_SECONDS

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]

OWN_USER = {"name": "INVOICES_DATABASE_URL", "value": "postgresql+psycopg://invoices_w@postgres/invoices"}
#: By name: changes to the example's values.
MATRIX: dict[str, dict[str, Any]] = {
    "the example": {},
    "everything on": ALL_ON,
    "everything off": {
        "ingress.enabled": False,
        "networkPolicy.enabled": False,
        "podDisruptionBudget": {"enabled": False},
        "topologySpread": {"enabled": False},
        "serviceAccount": {"create": False, "name": "kept"},
    },
    "by digest": {"image.tag": None, "image.digest": f"sha256:{'a' * 64}", "imagePullSecrets": [{"name": "pull"}]},
    "RabbitMQ": {
        "broker.url": "amqps://invoices@rabbit:5671/shop?ssl_ca_certs=/etc/ssl/certs/ca-certificates.crt",
        "redis.url": "rediss://valkey:6379/0",
        "secrets.redisPassword": "redis_password",
        "networkPolicy.broker": {"port": 5671},
        "networkPolicy.redis": {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]},
    },
    "Sentinel": {
        "broker.url": "sentinel://one:26379/0;sentinel://two:26379/0?master_name=pay",
        "networkPolicy.broker": {"port": 26379},
    },
    "a site of its own mind": {
        "settings": {"INVOICES_RETENTION_DAYS": "30", "INVOICES_NICE": "0"},
        "extraEnv": [{"name": "TZ", "value": "UTC"}, {"name": "INVOICES_NICE", "value": "3"}],
        "worker": {
            "replicas": 5,
            "extraArgs": ["-c", "4"],
            "extraEnv": [OWN_USER, {"name": "TZ", "value": "Asia/Tokyo"}],
        },
        "migration": {"extraEnv": [{"name": "INVOICES_DATABASE_URL", "value": OWN_USER["value"].replace("_w", "_m")}]},
        "nodeSelector": {"pool": "pay"},
        "tolerations": [{"key": "pay", "operator": "Exists"}],
        "priorityClassName": "high",
        "podLabels": {"team": "pay"},
        "podAnnotations": {"note": "1"},
        "ingress.paths": ["/"],
        "podDisruptionBudget.maxUnavailable": "50%",
        "serviceAccount.annotations": {"cloud": "role"},
    },
}
ROLES = {spec.name for spec in read_procfile(ROOT / "Procfile")}


@pytest.fixture(scope="module")
def rendered():
    return dict(zip(MATRIX, render([example(changes) for changes in MATRIX.values()]), strict=True))


def pods(answer):
    """The pods of each workload, by role."""
    found = of_kind(answer["documents"], "Deployment") | of_kind(answer["documents"], "Job")
    return {role: one["spec"]["template"]["spec"] for role, one in found.items()}


def environment(pod):
    return {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}


@pytest.mark.parametrize("case", MATRIX)
def test_a_cluster_takes_it_strictly(rendered, case):
    assert rendered[case].get("error") is None
    assert rendered[case]["faults"] == []
    names = [(one["kind"], one["metadata"]["name"]) for one in rendered[case]["documents"]]
    assert len(names) == len(set(names)) >= len(ROLES) + 2


@pytest.mark.parametrize("case", MATRIX)
def test_each_pod_is_as_tight_as_it_can_be(rendered, case):
    for role, pod in pods(rendered[case]).items():
        (container,) = pod["containers"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
        context = container["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"] > 10000, context["readOnlyRootFilesystem"]) == (True,) * 3
        assert (context["allowPrivilegeEscalation"], context["privileged"]) == (False, False)
        assert context["capabilities"] == {"drop": ["ALL"]}
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= set(requests), role
        assert {"memory", "ephemeral-storage"} <= set(limits), role
        assert not container["image"].endswith((":latest", ":"))
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert all("secret" in volume or "sizeLimit" in volume["emptyDir"] for volume in volumes.values())
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)


@pytest.mark.parametrize("case", MATRIX)
def test_the_processes_take_the_settings_that_it_sets(rendered, case):
    for pod in pods(rendered[case]).values():
        settings = environment(pod)
        files = {name for name in settings if name.startswith("INVOICES_") and name.endswith("_FILE")}
        mounted = {item["path"] for item in pod["volumes"][0]["secret"]["items"]}
        assert {settings[name].removeprefix("/run/secrets/invoices/") for name in files} <= mounted
        readable = {name: value for name, value in settings.items() if name not in files and value is not None}
        key = {"INVOICES_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}
        load_settings(readable | key, need_keys=False)


def test_names_that_look_like_numbers_stay_text():
    """A cluster takes `2024` and `1e3` as names, and refuses them as numbers."""
    looks = {
        "secrets.existingSecret": "007",
        "ingress.className": "0",
        "ingress.tlsSecret": "123",
        "priorityClassName": "1e3",
        "serviceAccount.name": "42",
        "topologySpread.topologyKey": "12",
        "podLabels": {"year": "2024"},
        "podAnnotations": {"on": "true"},
        "nodeSelector": {"pool": "1"},
        "imagePullSecrets": [{"name": "99"}],
        "settings": {"INVOICES_NICE": "3"},
    }
    answers = [
        answer
        for name, namespace in (("2024", "1e3"), ("invoices", "0"))
        for answer in render(
            [example(ALL_ON | looks), example(ALL_ON | looks | {"serviceAccount.create": False})], name, namespace
        )
    ]
    assert [(answer.get("error"), answer.get("faults")) for answer in answers] == [(None, [])] * 4
    assert {document["metadata"]["namespace"] for document in answers[0]["documents"]} == {"1e3"}
    job = of_kind(answers[1]["documents"], "Job").popitem()[1]
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "42"


def test_a_role_may_have_settings_of_its_own_and_no_name_comes_twice(rendered):
    found = pods(rendered["a site of its own mind"])
    for pod in found.values():
        names = [one["name"] for one in pod["containers"][0]["env"]]
        assert len(names) == len(set(names))
    told = {role: environment(pod) for role, pod in found.items()}
    urls = {role: settings["INVOICES_DATABASE_URL"].split("@")[0].rpartition("/")[2] for role, settings in told.items()}
    assert urls == dict.fromkeys(ROLES, "invoices") | {"worker": "invoices_w", "migrate": "invoices_m"}
    assert (told["worker"]["TZ"], told["web"]["TZ"]) == ("Asia/Tokyo", "UTC")
    assert {settings["INVOICES_NICE"] for settings in told.values()} == {"3"}


def test_each_role_of_the_procfile_is_a_deployment_with_a_budget_and_live_probes(rendered):
    documents = rendered["the example"]["documents"]
    deployments, budgets = of_kind(documents, "Deployment"), of_kind(documents, "PodDisruptionBudget")
    assert set(deployments) == set(budgets) == ROLES
    for role, deployment in deployments.items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert labels.items() >= budgets[role]["spec"]["selector"]["matchLabels"].items()
        assert labels.items() >= deployment["spec"]["selector"]["matchLabels"].items()
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        assert container["args"][0] == role
        port = container["ports"][0]
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"] == "/health/live"
            assert container[probe]["httpGet"]["port"] == port["name"]
        settings = environment(deployment["spec"]["template"]["spec"])
        number = settings["INVOICES_WEB_PORT" if role == "web" else "INVOICES_METRICS_PORT"]
        assert str(port["containerPort"]) == number
    web = deployments["web"]["spec"]["template"]["spec"]["containers"][0]
    assert web["readinessProbe"]["httpGet"]["path"] == "/health/ready"


@pytest.mark.parametrize("case", MATRIX)
def test_a_stop_waits_longer_than_the_drain(rendered, case):
    longest = max(DRAIN_SECONDS + 5, float(str(WORKER["worker_soft_shutdown_timeout"])), STOP_SECONDS)
    assert all(pod["terminationGracePeriodSeconds"] >= longest + 15 for pod in pods(rendered[case]).values())


def test_the_database_is_migrated_before_each_release_and_without_providers_keys(rendered):
    job = of_kind(rendered["the example"]["documents"], "Job")["migrate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert (pod["containers"][0]["args"], pod["restartPolicy"]) == (["migrate"], "Never")
    assert {item["key"] for item in pod["volumes"][0]["secret"]["items"]} == {
        "secret_key",
        "database_password",
        "broker_password",
    }


def test_only_what_is_named_gets_in_and_out(rendered):
    policies = of_kind(rendered["everything on"]["documents"], "NetworkPolicy")
    assert set(policies) == ROLES | {"nothing", "migrate"}
    assert all(set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"} for one in policies.values())
    assert not policies["nothing"]["spec"].keys() & {"ingress", "egress"}
    for role, policy in policies.items():
        blocks = [
            peer["ipBlock"] for rule in policy["spec"].get("egress", []) for peer in rule["to"] if "ipBlock" in peer
        ]
        assert bool(blocks) == (role in {"worker", "web"})
        for block in blocks:
            assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(block["except"]) or (
                block["cidr"] == "::/0" and {"fc00::/7", "fe80::/10"} <= set(block["except"])
            )
    ports = {role: sorted(port["port"] for rule in one["spec"].get("egress", []) for port in rule["ports"])
             for role, one in policies.items()}  # fmt: skip
    assert ports["migrate"] == [53, 53, 5432]
    assert ports["beat"] == [53, 53, 6379]
    assert ports["intake"] == [53, 53, 5432, 6379]
    assert ports["worker"] == [53, 53, 443, 5432, 6379]
    assert [rule["ports"][0]["port"] for rule in policies["web"]["spec"]["ingress"]] == ["http", "http"]
    assert policies["worker"]["spec"]["ingress"][0]["ports"][0]["port"] == "metrics"


def test_what_sentinels_name_is_reached_too(rendered):
    policies = of_kind(rendered["Sentinel"]["documents"], "NetworkPolicy")
    for role in ROLES:
        ports = {port["port"] for rule in policies[role]["spec"]["egress"] for port in rule["ports"]}
        assert {26379, 6379} <= ports, role


def test_workers_follow_the_figure_and_have_no_fixed_number_then(rendered):
    documents = rendered["everything on"]["documents"]
    (scaled,) = of_kind(documents, "ScaledObject").values()
    deployments = of_kind(documents, "Deployment")
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployments["worker"]["metadata"]["name"]
    assert "replicas" not in deployments["worker"]["spec"]
    assert deployments["intake"]["spec"]["replicas"] == 2
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["query"] == 'max(invoices_workers_wanted{namespace="pay"})'
    assert (trigger["metricType"], trigger["metadata"]["threshold"]) == ("AverageValue", "1")
    assert not of_kind(rendered["the example"]["documents"], "ScaledObject")


def test_prometheus_is_given_the_rules_that_are_tested_here_and_no_others(rendered):
    (rule,) = of_kind(rendered["everything on"]["documents"], "PrometheusRule").values()
    source = ROOT / "deploy" / "observability"
    groups = []
    for name in ("alerts.rules.yaml", "recording.rules.yaml"):
        assert (CHART / "rules" / name).resolve() == source / name  # no copy that could drift
        text = (source / name).read_text().replace("deploy/runbooks/", "https://books.example/")
        groups += yaml.safe_load(text)["groups"]
    assert rule["spec"]["groups"] == groups
    (monitor,) = of_kind(rendered["everything on"]["documents"], "PodMonitor").values()
    named = {
        port["name"]
        for pod in pods(rendered["everything on"]).values()
        for port in pod["containers"][0].get("ports", [])
    }
    assert {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]} == named


def test_callbacks_alone_are_public_unless_more_is_asked_for(rendered):
    for case, paths in (("the example", ["/callbacks"]), ("a site of its own mind", ["/"])):
        (ingress,) = of_kind(rendered[case]["documents"], "Ingress").values()
        (rule,) = ingress["spec"]["rules"]
        assert [path["path"] for path in rule["http"]["paths"]] == paths
        assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]] == ["pay.example"]


def test_a_variable_of_one_role_is_one_for_its_keys():
    key = {"name": "SHOP_KEY", "valueFrom": {"secretKeyRef": {"name": "other", "key": "key"}}}
    (answer,) = render([example({"accounts.shop.api_key": "env:SHOP_KEY", "worker": {"extraEnv": [key]}})])
    assert answer.get("error") is None
