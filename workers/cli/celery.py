"""`python -P -m workers.cli.celery …`: Celery's own command, from any folder.

Celery looks for the application in the working folder first. Where another project's `config` or `workers` lies there,
that one would be taken, unless ours are imported before.
"""

from __future__ import annotations

import sys

from celery.__main__ import main

import config
import domain
import workers

OURS = (config, domain, workers)

if __name__ == "__main__":
    sys.argv[0] = "celery"
    main()
