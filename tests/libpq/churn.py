# SPDX-License-Identifier: PostgreSQL
"""Threads that log in, look whether the session is new, leave something in it and finish it, while
the process forks children that do the same. Ends with status 1 if a session was not new."""
import os
import random
import sys
import threading
import time

import psycopg2

END = time.monotonic() + float(sys.argv[1])
LOGINS = ('', 'dbname=app application_name=one', 'dbname=app application_name=two')
wrong = []
# OpenSSL's locks do not survive a fork: a child of a process in which a thread was connecting can
# hang in its own connect, with and without tine.
connecting = threading.Lock()


def turn(chance):
    with connecting:
        conn = psycopg2.connect(chance.choice(LOGINS))
    with conn.cursor() as cursor:
        cursor.execute("select current_setting('work_mem')")
        if cursor.fetchone() != ('4MB',):
            wrong.append('a session that is not new')
        number = chance.randrange(5, 100)
        if chance.random() < 0.5:
            cursor.execute("set work_mem = '%dMB'" % number)
        if chance.random() < 0.1:
            cursor.execute('select 1 into temp t%d' % number)
        cursor.execute('select %s::int', [number])
        if cursor.fetchone() != (number,):
            wrong.append('the answer to another question')
    if chance.random() < 0.5:
        conn.commit()
    conn.close()


def work(seed, end):
    chance = random.Random(seed)
    while time.monotonic() < end:
        try:
            turn(chance)
        except psycopg2.Error as error:
            wrong.append(str(error))


def child():
    wrong.clear()
    work(os.getpid(), time.monotonic() + 0.2)
    os._exit(len(wrong) > 0)


def main():
    threads = [threading.Thread(target=work, args=(seed, END)) for seed in range(4)]
    for thread in threads:
        thread.start()
    while time.monotonic() < END:
        with connecting:
            pid = os.fork()
        if pid == 0:
            child()
        if os.waitpid(pid, 0)[1] != 0:
            wrong.append('a child')
    for thread in threads:
        thread.join()
    print(*wrong, sep='\n')
    return len(wrong) > 0


if __name__ == '__main__':
    sys.exit(main())
