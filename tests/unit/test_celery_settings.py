"""What Celery is told about each broker that the settings may name."""

from __future__ import annotations

import ssl

import pytest

from config.celeryconfig import celery_settings
from config.settings import load_settings
from config.urls import redact_url

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


def celery_of(**given):
    return celery_settings(
        load_settings({f"INVOICES_{name}": value for name, value in given.items()} | {"INVOICES_SECRET_KEY": KEY})
    )


def test_rabbitmq_s_certificate_is_looked_at_too(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.touch()
    celery = celery_of(BROKER_URL=f"amqps://u:p@h//?ssl_ca_certs={ca}", REDIS_URL="redis://r")
    assert celery["broker_url"] == "amqps://u:p@h//"
    required = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
    assert celery["broker_use_ssl"] == required | {"ca_certs": str(ca)}

    for url in ("amqp://h", "redis://h", "rediss://h"):
        assert celery_of(BROKER_URL=url, REDIS_URL="redis://r")["broker_use_ssl"] is None
    assert celery_of(BROKER_URL="amqps://h", REDIS_URL="redis://r")["broker_use_ssl"] == required


def test_every_sentinel_s_address_carries_what_the_master_wants_to_know():
    url = "sentinel://me:p%40ss@a/2;sentinel://b:1;sentinel://[::1]?master_name=m&sentinel_password=watch%2Bword"
    celery = celery_of(BROKER_URL=url)

    parts = ["a:26379", "b:1", "[::1]:26379"]
    assert celery["broker_url"] == ";".join(f"sentinel://me:p%40ss@{part}/2" for part in parts)
    options = celery["broker_transport_options"]
    assert (options["master_name"], options["sentinel_kwargs"]["password"]) == ("m", "watch+word")
    settings = load_settings({"INVOICES_BROKER_URL": url, "INVOICES_SECRET_KEY": KEY})
    assert {"p@ss", "watch+word"} < set(settings.secrets())
    assert "watch" not in redact_url(url)


def test_a_server_s_certificate_is_looked_at_unless_somebody_says_that_it_is_not():
    assert celery_of(BROKER_URL="rediss://h/1")["broker_url"] == "rediss://h/1?ssl_cert_reqs=required"
    assert celery_of(BROKER_URL="rediss://h?ssl_check_hostname=false")["broker_url"].endswith("&ssl_cert_reqs=required")
    assert celery_of(BROKER_URL="rediss://h?ssl_cert_reqs=none")["broker_url"] == "rediss://h?ssl_cert_reqs=none"


@pytest.mark.parametrize(("broker", "arguments"), [("amqp://h", {"x-queue-type": "quorum"}), ("redis://h", None)])
def test_queues_are_quorum_queues_on_rabbitmq_only(broker, arguments):
    celery = celery_of(BROKER_URL=broker, REDIS_URL="redis://r")

    assert [queue.queue_arguments for queue in celery["task_queues"]] == [arguments, arguments]


def test_a_channel_behind_sentinel_knows_its_master_and_what_every_channel_of_ours_knows():
    from workers.transport.channel import Channel, SentinelChannel

    assert {"master_name", "sentinel_kwargs", "isolates"} <= set(SentinelChannel.from_transport_options)
    assert "isolates" in Channel.from_transport_options


@pytest.mark.parametrize(("broker", "in_hand"), [("amqp://h", 1), ("redis://h", 8), ("sentinel://s?master_name=m", 8)])
def test_more_than_a_message_for_each_thread_is_in_hand_only_where_its_bytes_are_counted(broker, in_hand):
    celery = celery_of(BROKER_URL=broker, REDIS_URL="redis://r")

    assert celery["worker_prefetch_multiplier"] == in_hand
    assert celery["broker_transport_options"].get("room_alone", 1) == in_hand
