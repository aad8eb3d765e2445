# SPDX-License-Identifier: PostgreSQL
"""SQLAlchemy's pool classes over a fork: one connection in the pool, one checked out.

usage: pool_classes.py POOLCLASS    prints one JSON object

The parent has used its pool, and holds a connection outside of it in a transaction. Two children
query through the inherited pool at the same time, then close the inherited open connection.
"""
import json
import os
import sys

from sqlalchemy import create_engine, pool, text

import verdict

QUERIES = 5
CHILDREN = 2


def first_line(error):
    return verdict.first_line(getattr(error, 'orig', None) or error)


def ask(engine):
    with engine.connect() as conn:
        return conn.execute(text(verdict.BACKEND)).scalar()


def child(engine, held):
    report = {'backends': [], 'errors': []}
    for _ in range(QUERIES):
        try:
            report['backends'].append(ask(engine))
        except Exception as error:
            report['errors'].append(first_line(error))
    try:
        held.close()
    except Exception as error:
        report['close_error'] = first_line(error)
    return report


def fork_children(engine, held):
    forks = []
    for _ in range(CHILDREN):
        fork = verdict.Fork()
        if fork.pid == 0:
            fork.finish(child(engine, held))
        forks.append(fork)
    return [fork.report() for fork in forks]


def parent(engine, holder):
    result = {'pooled': ask(engine)}
    held = holder.connect()
    held.execute(text(verdict.SET_MARK))
    result['held'] = held.execute(text(verdict.BACKEND)).scalar()
    result['children'] = fork_children(engine, held)
    try:
        result['pooled_after'] = ask(engine)
        result['held_after'] = held.execute(text(verdict.BACKEND)).scalar()
        result['mark'] = held.execute(text(verdict.GET_MARK)).scalar() == verdict.MARK
    except Exception as error:
        result['error'] = first_line(error)
    return result


def main():
    config = verdict.CONFIG
    engine = create_engine(config['url'], poolclass=getattr(pool, sys.argv[1]),
                           pool_pre_ping=config['pre_ping'])
    print(json.dumps(parent(engine, create_engine(config['url'], poolclass=pool.NullPool))))


if __name__ == '__main__':
    main()
