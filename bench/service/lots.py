# SPDX-License-Identifier: PostgreSQL
"""The demo's Flask application with one page more: a lot, as examples/records shows it.

What it does for a request is what the service does: one query by the number, outside of a
transaction; a template; the same words. Its engine is the demo's, but for as many connections as
there are threads.
"""
import os
import sys

from flask import abort, render_template
from sqlalchemy import create_engine, text

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'examples', 'gunicorn'))

from app import app, database_url       # noqa: E402  (the path had to be set first)

app.template_folder = HERE
engine = create_engine(database_url(), pool_size=int(os.environ['THREADS']), max_overflow=0,
                       isolation_level='AUTOCOMMIT')

with open(os.path.join(HERE, 'lot.sql'), encoding='utf-8') as file:
    LOT = text(file.read().replace('$1', ':number').replace('HH24:MI', r'HH24\:MI'))


@app.get('/lots/<number>')
def lot(number):
    with engine.connect() as conn:
        rows = conn.execute(LOT, {'number': number}).all()
    if not rows:
        abort(404)
    return render_template('lot.html', rows=rows)
