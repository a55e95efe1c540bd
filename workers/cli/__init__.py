"""The `invoices` command: one file per family of sub-commands, imported only when one of them is run."""
