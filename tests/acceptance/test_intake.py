"""Orders and nonsense over a real broker into a real `celery -A workers.app worker`, from clients that aren't ours."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.acceptance.intake import ROOT, START_SECONDS, Intake, order
from tests.acceptance.nonsense import HEADERS, NONSENSE, NONSENSE_ITEMS, PLAIN
from tests.brokers import BROKERS, embedded_and
from tests.migrated import new_sqlite_url
from tests.redis_brokers import Embedded
from workers.queue.fault_points import VARIABLE
from workers.transport.message_limits import MAX_DEATHS

EXACT = "0.100000000000000055"  #: ETH; a float would make 0.10000000000000006 of it


def exact_order(name, price):
    """An order at a provider that takes a price in any currency, for the record."""
    params = {"user_id": name, "server_id": "s"}
    return order(name, account="zeroxhost", price=price, currency="ETH", params=params)


@pytest.fixture(scope="module", params=embedded_and(*BROKERS))
def engine(request, brokers, tmp_path_factory):
    """Each broker in turn."""
    with contextlib.ExitStack() as stack:
        found = stack.enter_context(brokers.open(request.param))
        yield found or stack.enter_context(contextlib.closing(Embedded(tmp_path_factory.mktemp("home"))))


def new_intake(folder, engine):
    return Intake(folder, engine, new_sqlite_url(folder))


@pytest.fixture(scope="module")
def running_intake(engine, tmp_path_factory):
    """For the tests that do it no harm."""
    with contextlib.closing(new_intake(tmp_path_factory.mktemp("intake"), engine)) as intake:
        yield intake


@pytest.fixture
def intake(running_intake):
    """Nothing has come in yet."""
    if running_intake.process is None:
        running_intake.start()
        running_intake.until(lambda: " ready." in running_intake.new_log(), START_SECONDS)
    running_intake.forget()
    yield running_intake
    running_intake.until_acknowledged()


@pytest.fixture
def stopped_intake(engine, running_intake, tmp_path):
    """Everything but the worker, which is the test's to start: nobody else listens meanwhile. What it leaves in the
    broker would be the next test's."""
    running_intake.stop()
    with contextlib.closing(new_intake(tmp_path, engine)) as intake:
        yield intake
        intake.until_acknowledged()


def test_no_kind_of_nonsense_stops_the_queue_and_each_is_listed_with_its_reason(intake):
    nonsense = NONSENSE | (NONSENSE_ITEMS if intake.speaks_redis else {})
    for push, _ in nonsense.values():
        push(intake)
    intake.push([[], order("good"), {}], headers=HEADERS)

    intake.until(lambda: "good" in intake.invoices())
    intake.until(lambda: len(intake.rejected()) == len(nonsense))
    intake.until_acknowledged()

    found = [row["reason"] for row in intake.rejected()]
    for name, (_, reason) in nonsense.items():
        assert any(line.startswith(reason) for line in found), (name, reason, found)
    assert list(intake.invoices()) == ["good"]
    assert all(len(row["excerpt"]) <= 2048 for row in intake.rejected())


def test_a_message_that_never_finished_is_listed_once_and_can_be_sent_again(intake):
    if not intake.speaks_redis:
        pytest.skip("RabbitMQ doesn't tell a consumer's death from a message given back")
    headers, told = HEADERS | {"id": "died"}, PLAIN | {"body_encoding": "base64"}
    for _ in range(2):  # the second one as if the worker had died after listing it
        intake.push([[], order("died"), {}], headers=headers, properties=told, **{"invoices-deaths": MAX_DEATHS})
    intake.push([[], order("alive"), {}], headers=HEADERS, **{"invoices-deaths": MAX_DEATHS - 1})
    intake.until(lambda: "alive" in intake.invoices())
    intake.until_acknowledged()
    (row,) = intake.rejected()
    assert row["reason"] == f"was delivered {MAX_DEATHS} times and never finished"
    assert (row["task"], bool(row["complete"])) == ("invoices.create", True)

    command = [sys.executable, "-m", "workers.cli", "redrive", "rejected", "--all"]
    subprocess.run(command, cwd=ROOT, env=intake.environment, check=True, timeout=START_SECONDS)
    intake.until(lambda: set(intake.invoices()) == {"alive", "died"})


def test_orders_arrive_from_every_kind_of_client(intake):
    intake.send_with_celery(kwargs=order("celery"))
    intake.send_with_celery(kwargs=order("celery-priority"), priority=9)
    intake.send_with_celery(kwargs=exact_order("celery-decimal", Decimal(EXACT)))
    intake.send_with_celery(
        "invoices.create_many", {"orders": [order("many-1"), order("many-2"), order("bad", price="x")]}
    )
    intake.push_as_node_celery(order("node"))
    intake.push_as_gocelery(order("go"))
    intake.put_with_kombu(order("kombu"), id="kombu-1")
    wanted = {"celery", "celery-priority", "celery-decimal", "many-1", "many-2", "node", "go", "kombu"}

    intake.until(lambda: set(intake.invoices()) == wanted)
    intake.until(intake.rejected)
    intake.until_acknowledged()

    assert [row["reason"] for row in intake.rejected()] == ["price: is not a decimal number"]
    assert intake.invoices()["celery-decimal"]["price"] == EXACT
    assert {row["status"] for row in intake.invoices().values()} == {"queued"}


def test_a_price_given_as_a_json_number_arrives_digit_for_digit(intake):
    fields = json.dumps(exact_order("PLACE", "PRICE")).replace('"PRICE"', EXACT)
    intake.push("[[], " + fields.replace("PLACE", "new") + ", {}]", headers=HEADERS)
    intake.push('{"task": "invoices.create", "id": "1", "kwargs": ' + fields.replace("PLACE", "old") + "}")
    many = '{"orders": [' + fields.replace("PLACE", "many") + "]}"
    intake.push("[[], " + many + ", {}]", headers=HEADERS | {"task": "invoices.create_many"})

    intake.until(lambda: len(intake.invoices()) == 3)

    assert {row["price"] for row in intake.invoices().values()} == {EXACT}


def test_a_foreign_expires_becomes_create_before_instead_of_dropping_the_order(intake):
    past, future = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    if intake.speaks_redis:  # on RabbitMQ Celery writes it as the message's lifetime too: the broker itself drops it
        intake.send_with_celery(kwargs=order("past"), expires=past)
    intake.send_with_celery(kwargs=order("future"), expires=future)
    intake.push_as_node_celery(order("node"), expires=future.isoformat(timespec="milliseconds").split("+")[0])
    intake.send_with_celery(kwargs=order("near-eta"), countdown=30)

    found = intake.until(lambda: len(rows := intake.invoices()) == 3 + intake.speaks_redis and rows)

    if intake.speaks_redis:
        assert found["past"]["create_before"].startswith(past.replace(tzinfo=None).isoformat(" ", "seconds"))
    assert found["future"]["create_before"].startswith(future.replace(tzinfo=None).isoformat(" ", "seconds"))
    assert found["node"]["create_before"].startswith(future.replace(tzinfo=None).isoformat(" ", "milliseconds"))
    assert found["near-eta"]["create_before"] is None


def test_a_repeat_is_no_second_invoice_and_a_conflict_is_listed(intake):
    for _ in range(3):
        intake.send_with_celery(kwargs=order("A-1"))
    intake.until(lambda: "A-1" in intake.invoices())
    intake.send_with_celery(kwargs=order("A-1", price="9.91"))

    (rejection,) = intake.until(intake.rejected)

    assert rejection["task"] == "invoices.create"
    assert json.loads(rejection["excerpt"])["price"] == "9.91"
    assert len(intake.rows("SELECT id FROM invoice")) == 1


def test_a_cancellation_cancels_and_one_of_nothing_is_listed(intake):
    intake.send_with_celery(kwargs=order("A-1"))
    intake.send_with_celery("invoices.cancel", {"account": "nebulox", "order_id": "A-1"})
    intake.send_with_celery("invoices.cancel", {"account": "nebulox", "order_id": "A-2"})

    intake.until(lambda: intake.invoices().get("A-1", {}).get("status") == "cancelled")
    (rejection,) = intake.until(intake.rejected)

    assert rejection["reason"] == "order_id 'A-2' of account 'nebulox': there is no such invoice"


def test_celery_s_own_commands_work(intake):
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "inspect", "registered", "-t", "5"]

    def answer():
        done = subprocess.run(command, cwd=ROOT, env=intake.environment, capture_output=True, text=True, check=False)
        return done.returncode == 0 and done.stdout

    assert "invoices.create_many" in intake.until(answer)


def test_while_the_database_is_away_messages_wait_in_the_broker_and_are_then_all_stored(stopped_intake):
    intake = stopped_intake
    intake.folder.joinpath("invoices.db").rename(intake.folder / "away.db")
    intake.folder.joinpath("invoices.db").mkdir()  # nothing can be opened there
    intake.start()
    for number in range(40):
        intake.push([[], order(f"A-{number}"), {}], headers=HEADERS | {"id": str(number)})
    intake.push("nonsense")
    intake.until(lambda: "store.unavailable" in intake.log())
    intake.until_held(41)

    intake.folder.joinpath("invoices.db").rmdir()
    intake.folder.joinpath("away.db").rename(intake.folder / "invoices.db")

    intake.until(lambda: len(intake.invoices()) == 40)
    intake.until(lambda: len(intake.rejected()) == 1)


def test_a_worker_stopped_while_the_database_is_away_gives_everything_back(stopped_intake):
    intake = stopped_intake
    intake.folder.joinpath("invoices.db").rename(intake.folder / "away.db")
    intake.folder.joinpath("invoices.db").mkdir()
    intake.push_as_gocelery(order("go"))  # the first to be taken: it is what a worker has in hand
    for number in range(6):
        intake.push([[], order(f"A-{number}"), {}], headers=HEADERS | {"id": str(number)})
    intake.start()
    intake.until(lambda: "store.unavailable" in intake.log())
    intake.until_held(7)

    intake.stop()

    assert not intake.speaks_redis or intake.held() == 0  # no lease has to end
    intake.until(lambda: intake.ready() == 7)  # RabbitMQ gives back what was held a moment later
    intake.folder.joinpath("invoices.db").rmdir()
    intake.folder.joinpath("away.db").rename(intake.folder / "invoices.db")
    intake.start()
    intake.until(lambda: len(intake.invoices()) == 7)


def test_a_sigkilled_worker_s_message_is_stored_once_by_the_next(stopped_intake):
    intake = stopped_intake
    intake.start()
    for number in range(200):
        intake.push([[], order(f"A-{number}"), {}], headers=HEADERS | {"id": str(number)})
    intake.until(lambda: len(intake.invoices()) > 5)

    intake.stop(signal.SIGKILL)
    intake.let_leases_end()
    intake.start()

    intake.until_acknowledged()
    assert len(intake.rows("SELECT id FROM invoice")) == len(intake.invoices()) == 200
    assert intake.rejected() == []


@pytest.mark.engines
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", ["message.reject.before", "message.reject.after", "order.commit.after"])
def test_bad_messages_are_listed_once_wherever_their_worker_was_killed(stopped_intake, point):
    intake = stopped_intake
    good = 20 if point.startswith("order.") else 0  # bad ones are listed in the transaction of those beside them
    for number in range(20):
        intake.push([[], order(f"bad-{number}", colour="red"), {}], headers=HEADERS | {"id": f"bad-{number}"})
        intake.push([[], {"orders": number}, {}], headers=HEADERS | {"task": "invoices.create_many", "id": f"{number}"})
        if number < good:
            intake.push([[], order(f"good-{number}"), {}], headers=HEADERS | {"id": f"good-{number}"})
    intake.environment[VARIABLE] = f"{point}:1"
    intake.start()
    intake.process.wait(timeout=START_SECONDS)
    assert bool(intake.rejected()) == point.endswith(".after")

    del intake.environment[VARIABLE]
    intake.let_leases_end()
    intake.start()

    intake.until_acknowledged()
    reasons = Counter(row["reason"].partition(":")[0] for row in intake.rejected())
    assert reasons == {"colour": 20, "orders": 20}
    assert len(intake.rows("SELECT id FROM invoice")) == good


@pytest.mark.engines
@pytest.mark.timeout(900)
def test_an_order_that_ends_its_worker_again_and_again_is_listed_and_then_nobody_dies_of_it(stopped_intake):
    intake = stopped_intake
    intake.environment[VARIABLE] = "order.commit.before:1"
    intake.push([[], order("killer"), {}], headers=HEADERS)
    deaths = 0
    while not intake.rejected():
        if intake.process is None or intake.process.poll() is not None:
            deaths += intake.process is not None
            assert deaths <= MAX_DEATHS + 1, intake.log()[-3000:]  # RabbitMQ: the first one is not known of
            intake.let_leases_end()
            intake.start()
        time.sleep(0.1)
    assert deaths >= MAX_DEATHS
    (row,) = intake.rejected()
    assert row["reason"] == f"was delivered {MAX_DEATHS} times and never finished"
    assert bool(row["complete"])
    intake.until_acknowledged()
    intake.stop(signal.SIGKILL)
    del intake.environment[VARIABLE]
    intake.start()
    command = [sys.executable, "-m", "workers.cli", "redrive", "rejected", "--all"]
    subprocess.run(command, cwd=ROOT, env=intake.environment, check=True, timeout=START_SECONDS)
    intake.until(lambda: "killer" in intake.invoices())


def test_a_wrong_setting_stops_the_worker_with_one_line():
    environ = {name: value for name, value in os.environ.items() if not name.startswith("INVOICES_")}
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", "worker"],
        cwd=ROOT,
        env=environ | {"INVOICES_LOG_LEVEL": "loud"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "invoices: INVOICES_LOG_LEVEL: must be debug, info, warning or error\n"
