"""`python -m workers.cli`: the `invoices` command where it is not installed."""

from workers.cli.main import main

main()
