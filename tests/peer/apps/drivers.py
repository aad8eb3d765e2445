# SPDX-License-Identifier: PostgreSQL
"""One face for three blocking drivers, each with its own way to reach PostgreSQL.

psycopg2 calls libpq from a C extension, psycopg 3 through ctypes (or, as a wheel, from Cython),
pg8000 speaks the protocol itself over Python's sockets.
"""


class Psycopg2:
    def __init__(self, config):
        import psycopg2
        self.conn = psycopg2.connect(config['conninfo'])

    def one(self, sql):
        with self.conn.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def commit(self):
        self.conn.commit()

    def fileno(self):
        return self.conn.fileno()

    def close(self):
        self.conn.close()

    def cancel(self):
        self.conn.cancel()


class Psycopg(Psycopg2):
    def __init__(self, config):
        import psycopg
        self.conn = psycopg.connect(config['conninfo'])

    def reset(self):
        """PQreset: libpq closes the connection and opens another in its place."""
        self.conn.pgconn.reset()


class Pg8000(Psycopg2):
    def __init__(self, config):
        import pg8000
        params = config['legacy']
        address = ({'unix_sock': '%s/.s.PGSQL.%d' % (params['host'], params['port'])}
                   if params['host'].startswith('/') else
                   {'host': params['host'], 'port': params['port']})
        self.conn = pg8000.connect(user=params['user'], password=params['password'],
                                   database=params['dbname'],
                                   ssl=params.get('sslmode') == 'require', **address)

    def one(self, sql):
        cursor = self.conn.cursor()
        cursor.execute(sql)
        return cursor.fetchone()[0]

    def fileno(self):
        return self.conn._usock.fileno()


DRIVERS = {'psycopg2': Psycopg2, 'psycopg': Psycopg, 'pg8000': Pg8000}
