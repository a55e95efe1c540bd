import os
from pathlib import Path

from celery import Celery

# Default: the broker of `make up` (run this in the project's root). In production: redis://host:6379/0 or amqp://host
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
