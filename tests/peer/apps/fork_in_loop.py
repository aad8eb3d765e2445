# SPDX-License-Identifier: PostgreSQL
"""A coroutine forks inside a running event loop, whose epoll both processes then share.

usage: fork_in_loop.py asyncpg|psycopg ACTION    prints one JSON object
"""
import asyncio
import json
import os
import sys

import verdict


class Asyncpg:
    @classmethod
    async def open(cls, config):
        import asyncpg
        self = cls()
        self.conn = await asyncpg.connect(config['dsn'])
        return self

    async def one(self, sql):
        return await self.conn.fetchval(sql)

    def query_in_child(self):
        return self.one(verdict.BACKEND)

    def begin(self):
        return self.conn.execute('begin')

    def commit(self):
        return self.conn.execute('commit')

    def close(self):
        return self.conn.close(timeout=2)

    def remove_reader(self, loop):
        transport = self.conn._transport
        fd = transport.get_extra_info('socket').fileno()
        loop._remove_reader(fd)

    def abort(self, _loop):
        self.conn._transport.abort()

    def terminate(self, _loop):
        self.conn.terminate()


class Psycopg:
    @classmethod
    async def open(cls, config):
        import psycopg
        self = cls()
        self.conn = await psycopg.AsyncConnection.connect(config['conninfo'])
        return self

    async def one(self, sql):
        cursor = await self.conn.execute(sql)
        return (await cursor.fetchone())[0]

    async def query_in_child(self):
        return asyncio.run(self.one(verdict.BACKEND))

    async def begin(self):
        await self.conn.execute('select 1')

    def commit(self):
        return self.conn.commit()

    def close(self):
        return self.conn.close()


KINDS = {'asyncpg': Asyncpg, 'psycopg': Psycopg}


async def own_connection(kind, config):
    db = await kind.open(config)
    backend = await db.one(verdict.BACKEND)
    await db.close()
    return backend


async def child(db, kind, config, action, loop):
    """Goes on in the parent's loop, as careless code does; what needs a running loop, which this
    is no longer in a child for Python, gets one of its own."""
    report = {}
    try:
        if action == 'query':
            report['backend'] = await db.query_in_child()
        elif action == 'close':
            await db.close()
        else:
            getattr(db, action)(loop)
    except Exception as error:
        report['error'] = verdict.first_line(error)
    report['own'] = asyncio.run(own_connection(kind, config))
    return report


async def parent(kind, config, action):
    db = await kind.open(config)
    await db.begin()
    before = await db.one(verdict.BACKEND)
    await db.one(verdict.SET_MARK)
    loop = asyncio.get_running_loop()
    process = verdict.Fork()
    if process.pid == 0:
        process.finish(await child(db, kind, config, action, loop))
    result = {'before': before, 'child': process.report()}
    try:
        query = db.one(verdict.BACKEND)
        result['after'] = await asyncio.wait_for(query, config['deadline'])
        result['mark'] = await db.one(verdict.GET_MARK) == verdict.MARK
        await db.commit()
    except Exception as error:
        result['error'] = verdict.first_line(error)
    print(json.dumps(result), flush=True)
    os._exit(0)


def main():
    asyncio.run(parent(KINDS[sys.argv[1]], verdict.CONFIG, sys.argv[2]))


if __name__ == '__main__':
    main()
