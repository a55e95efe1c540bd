"""What the chart refuses, by the value's name: a cluster or a process would refuse it later, and less clearly."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.rendered import ALL_ON, example, render

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]

#: Values that are refused, and what the refusal names.
REFUSED = {
    "image.repository": "",
    "image.tag": "latest",
    "image.digest": "sha256:short",
    "database.url": "postgresql+psycopg://invoices:password@postgres/invoices",
    "broker.url": "redis://:password@valkey:6379/0",
    "redis.url": "http://:password@valkey:6379/0",
    "publicUrl": "http://pay.example",
    "accounts": {},
    "accounts.shop.api_key": "sk_live_in_the_values",
    "settings": {"INVOICES_SECRET_KEY": "x"},
    "secrets.existingSecret": "",
    "worker.replicas": 0,
    "worker.replica": 3,
    "terminationGracePeriodSeconds": 30,
    "autoscaling.enabled": True,
    "ingress.host": "",
    "networkPolicy.database": {"port": 5432, "to": [{}]},
    "podDisruptionBudget.maxUnavailable": 0,
    "metrics.allow": ["everybody"],
    "podLabels": {"app.kubernetes.io/name": "other"},
    "metrics.podMonitor.labels": {"release": "not a label"},
    "serviceAccount.name": "Not A Name",
    "ingress.tlsSecret": "a: b",
    "unheard": 1,
}


#: Values that fit one by one and not together: changes, and what the refusal says.
APART: dict[str, tuple[dict[str, Any], str]] = {
    "a key that no pod gets": (
        {"accounts.shop.previous_api_key": "file:/run/secrets/invoices/old"},
        "accounts.shop.previous_api_key: old is not among secrets.providerKeys",
    ),
    "a variable that no pod gets": (
        {"accounts.shop.api_key": "env:SHOP_KEY"},
        "accounts.shop.api_key: SHOP_KEY is in no",
    ),
    "fewer at most than at least": (
        ALL_ON | {"autoscaling.minReplicas": 5, "autoscaling.maxReplicas": 4},
        "autoscaling.minReplicas: is above",
    ),
    "a fallback above all": (ALL_ON | {"autoscaling.maxReplicas": 3}, "autoscaling.fallbackReplicas: is above"),
    "a host that web does not know": ({"ingress.host": "other.example"}, "ingress.host: web would answer 421 to other"),
    "a pooler's port": (
        {"database.url": "postgresql+psycopg://invoices@[fd00:1::2]:6432/invoices"},
        "networkPolicy.database.port: is 5432, and database.url leads to :6432",
    ),
    "RabbitMQ's port": (
        {"broker.url": "amqp://rabbit/", "redis.url": "redis://valkey"},
        "networkPolicy.broker.port: is 6379, and broker.url leads to :5672",
    ),
}


@pytest.fixture(scope="module")
def apart():
    return dict(zip(APART, render([example(changes) for changes, _ in APART.values()]), strict=True))


@pytest.mark.parametrize("case", APART)
def test_values_that_do_not_fit_together_are_refused(apart, case):
    assert APART[case][1] in apart[case].get("error", "")


NAMED_INSTEAD = {
    "autoscaling.enabled": "autoscaling.prometheusAddress",
    "settings": "INVOICES_SECRET_KEY",
    "podLabels": "app.kubernetes.io/name",
    "networkPolicy.database": "networkPolicy",
}


@pytest.fixture(scope="module")
def refusals():
    cases = [example({path: value}) for path, value in REFUSED.items()]
    without_redis = example({"broker.url": "amqp://rabbit/"})
    return dict(zip([*REFUSED, "redis"], render([*cases, without_redis]), strict=True))


@pytest.mark.parametrize("path", [*REFUSED, "redis"])
def test_bad_values_are_refused_by_name(refusals, path):
    error = refusals[path].get("error") or ""
    named = NAMED_INSTEAD.get(path, path)
    assert "schema" in error, refusals[path]
    assert named.split(".")[0] in error
    assert named.rsplit(".", 1)[-1] in error
    assert "sk_live" not in error
    assert ":password@" not in error
