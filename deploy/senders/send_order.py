import os
from pathlib import Path

from celery import Celery

# The broker of `make up`, seen from the project's root; yours is redis://host:6379/0 or amqp://host
broker = os.environ.get("BROKER", f"redis+socket://{Path('var/valkey/valkey.sock').absolute()}")
shop = Celery(broker=broker)
order = {
    "account": "nebulox",
    "order_id": "from-python-1",
    "price": "19.99",
    "currency": "EUR",
    "metadata": {"cart": 7},
}
shop.send_task("invoices.create", kwargs=order, queue="invoices.intake", ignore_result=True)
