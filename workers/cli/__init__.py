"""The `invoices` command: one file a family of sub-commands, each imported only when it is run."""
