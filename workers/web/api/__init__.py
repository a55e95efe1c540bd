"""``/v1``: orders in, invoices and events out, for services. ``access`` says who may; ``routes`` what there is."""
