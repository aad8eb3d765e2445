# SPDX-License-Identifier: PostgreSQL
"""What Django does for each request with CONN_MAX_AGE=0, as often as there is time.

usage: request.py SECONDS    prints requests per second
"""
import os
import sys
import time

import psycopg2


def request(number):
    conn = psycopg2.connect(os.environ['BENCH_CONNINFO'])
    conn.set_client_encoding('UTF8')
    conn.autocommit = True
    with conn.cursor() as cursor:
        cursor.execute("select set_config('TimeZone', %s, false)", ('UTC',))
        for query in range(3):
            cursor.execute('select abalance from pgbench_accounts where aid = %s',
                           (1 + (number + query) % 1000,))
            assert cursor.rowcount == 1
    conn.close()


def main(seconds):
    start, number = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        request(number)
        number += 1
    print(number / (time.monotonic() - start))


if __name__ == '__main__':
    main(float(sys.argv[1]))
