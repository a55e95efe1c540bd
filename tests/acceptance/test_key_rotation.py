"""Every key is changed while orders come in, as deploy/runbooks/KeyRotation.md says, and nothing is lost."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import threading

import pytest
import redis

from tests.acceptance.system import ALL_PATIENT, SECRET_KEY, System, nebulox_order, running, zeroxhost_order
from tests.acceptance.test_http_orders import connect
from tests.brokers import WITH_USERS
from tests.callbacks import nebulox_callback, post
from tests.least_privilege import Logins
from tests.redis_brokers import NO_RETRY

pytestmark = [pytest.mark.engines, pytest.mark.drills, pytest.mark.timeout(1200)]

ALL = ("intake", "worker", "web", "beat")
NEW_KEY = "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU="
FORMER_API_KEY = "the-key-before"


@pytest.fixture
def system(tmp_path, new_postgres_url, brokers):
    logins = Logins(new_postgres_url)
    with brokers.open(next(iter(WITH_USERS))) as broker:
        system = System(
            tmp_path, database_url=new_postgres_url, accounts=ALL_PATIENT, broker=broker, logins=logins, cold=True
        )
        with running(system, *ALL) as system:
            yield system


@contextlib.contextmanager
def load(system):
    """Orders, one after the other, as long as the block runs; yields how many were sent."""
    sent, over = itertools.count(), threading.Event()
    total, failed = [0], []

    def send():
        for number in sent:
            if over.wait(0.5):
                return
            try:
                system.order(zeroxhost_order(f"load-{number}", "~pay:1~"))
            except Exception as error:
                failed.append(error)
                return
            total[0] = number + 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield total
    finally:
        over.set()
        thread.join()
    assert failed == []


def restart(system, *names, **settings):
    """Each process, one after the other, with these settings from now on."""
    system.environment |= {f"INVOICES_{name.upper()}": value for name, value in settings.items()}
    for name in names or ALL:
        system.kill(name, signal.SIGTERM)
        system.start(name)


def test_every_key_is_changed_under_load(system):
    (token,) = system.command("tokens", "add", "shop", "--scope", "orders", "--json")
    with load(system) as sent:
        change_the_sealing_key(system)
        change_a_webhooks_secret(system)
        change_a_token(system, token["token"])
        change_a_providers_key(system)
        change_the_databases_login(system)
        change_redis_passwords(system)
    assert sent[0] > 10
    system.wait_for_statuses("load-", 300, paid=sent[0])
    system.wait_until_told(300)
    system.check_history()
    system.check_told()
    assert max(system.creates("load-").values()) == 1
    for words in ("permission denied", "NOPERM", "WRONGPASS", "can't be opened"):
        assert words not in "\n".join(system.log_lines())


def change_the_sealing_key(system):
    restart(system, "worker", "web", secret_key=f"{SECRET_KEY},{NEW_KEY}")
    restart(system, "worker", "web", secret_key=f"{NEW_KEY},{SECRET_KEY}")
    assert system.command("endpoints", "reseal", "--json") == [{"endpoints": 1}]
    restart(system, secret_key=NEW_KEY)


def change_a_webhooks_secret(system):
    (endpoint,) = system.command("endpoints", "list", "--json")
    (rotated,) = system.command("endpoints", "rotate", endpoint["id"], "--keep-hours", "24", "--json")
    system.ask(f"{system.sandbox.receiver_url('shop')}/secret", {"secret": rotated["secret"]})


def change_a_token(system, former):
    (added,) = system.command("tokens", "add", "shop-2", "--scope", "orders", "--json")
    for number, token in enumerate((former, added["token"])):
        with connect(system, token) as shop:
            assert shop.post("/v1/orders", json=nebulox_order(f"token-{number}")).status_code in {201, 202}
    system.command("tokens", "revoke", "shop", "--json")
    with connect(system, former) as shop:
        system.wait_until(
            lambda: shop.post("/v1/orders", json=nebulox_order("late")).status_code == 401, "it is revoked"
        )


def change_a_providers_key(system):
    accounts = json.loads(system.environment["INVOICES_ACCOUNTS"])
    accounts["nebulox"]["previous_api_key"] = FORMER_API_KEY
    restart(system, "worker", "web", accounts=json.dumps(accounts))
    for key, status in ((FORMER_API_KEY, 200), ("sandbox-nebulox-key", 200), ("another", 401)):
        body = nebulox_callback("token-0", "PENDING")
        assert post(f"{system.web_url()}/callbacks/nebulox", body, key=key)[0] == status


def change_the_databases_login(system):
    former, system.logins = system.logins, Logins(system.direct_database_url)
    system._stack.callback(system.logins.drop)
    system.logins.create()
    restart(system, "intake", "worker", "web")
    users = "SELECT usename FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'invoices'"
    used = {row["usename"] for row in system.rows(users)}
    assert used
    assert used.isdisjoint(former.names())
    former.drop()


def change_redis_passwords(system):
    admin, broker = system.redis, system.broker
    for who, user in broker.users.items():
        admin.execute_command("ACL", "SETUSER", user, f">new-{user}")
        broker.passwords[who] = f"new-{user}"
    restart(system)
    for user in {*broker.users.values()}:
        admin.execute_command("ACL", "SETUSER", user, f"<{user.removeprefix('invoices_').upper()}_PASSWORD")
    former = broker.plain_url.replace("redis://", "redis://invoices_worker:WORKER_PASSWORD@")
    with redis.Redis.from_url(former, retry=NO_RETRY) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()
