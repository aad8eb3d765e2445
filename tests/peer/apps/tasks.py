# SPDX-License-Identifier: PostgreSQL
"""A Celery application on connections that were opened at import (see inherit.py)."""
from celery import Celery

import inherit

app = Celery('tasks', broker=inherit.CONFIG['redis'], backend=inherit.CONFIG['redis'])
app.conf.worker_hijack_root_logger = False


@app.task(name='echo')
def echo(nonce):
    return inherit.echo(nonce)
