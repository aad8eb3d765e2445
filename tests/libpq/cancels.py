# SPDX-License-Identifier: PostgreSQL
"""psycopg 3 of a wheel, whose libpq has PQcancelCreate(), cancels statements: its own, after a fork
too, and nobody else's. The connection string is in CONNINFO; prints what was done."""
import os
import threading
import time
import traceback

import psycopg

LIMIT_SECONDS = 60

# Ends when somebody else says so, or does not.
WAITS = ("do $$ begin while (select count(*) from cancels_done) = 0"
         " and clock_timestamp() < now() + interval '%d s' loop"
         " perform pg_sleep(0.02); end loop; end $$" % LIMIT_SECONDS)


def connect():
    return psycopg.connect(os.environ['CONNINFO'], autocommit=True)


# PQcancel(); PQcancelStart() and PQcancelPoll(); PQcancelBlocking().
WAYS = {
    'cancel': lambda conn: conn.cancel(),
    'cancel_safe': lambda conn: conn.cancel_safe(timeout=LIMIT_SECONDS),
    'blocking': lambda conn: conn.pgconn.cancel_conn().blocking(),
}


def is_cancelled(conn, way):
    """Cancel the connection's statement; a request that comes before it hits nothing."""
    over = threading.Event()

    def keep_on():
        while not over.is_set():
            if conn.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                WAYS[way](conn)
            time.sleep(0.005)
    thread = threading.Thread(target=keep_on)
    thread.start()
    try:
        conn.execute('select pg_sleep(%d)' % LIMIT_SECONDS)
        return False
    except psycopg.errors.QueryCanceled:
        return True
    finally:
        over.set()
        thread.join()


def expect_all_ways(conn, where):
    for way in WAYS:
        assert is_cancelled(conn, way), (where, way)
        assert conn.execute('select 1').fetchone() == (1,)
    print(where)


def wait_for_statement(conn, pid):
    deadline = time.monotonic() + LIMIT_SECONDS
    while conn.execute("select state from pg_stat_activity where pid = %s and query like 'do %%'",
                       [pid]).fetchone() != ('active',):
        assert time.monotonic() < deadline, 'the statement of the parent has not begun'
        time.sleep(0.01)


def cancel_before_use(conn):
    """The session is the parent's still."""
    for cancel in (conn.pgconn.get_cancel().cancel, conn.pgconn.cancel_conn().blocking):
        try:
            cancel()
        except psycopg.OperationalError:
            pass


def be_child(conn, pid):
    own = connect()
    wait_for_statement(own, pid)
    cancel_before_use(conn)
    wait_for_statement(own, pid)
    expect_all_ways(conn, 'the child')
    assert conn.info.backend_pid != pid
    expect_all_ways(own, "the child's own")
    wait_for_statement(own, pid)
    own.execute('insert into cancels_done values (1)')


def fork(conn):
    pid = conn.info.backend_pid
    child = os.fork()
    if child == 0:
        status = 1
        try:
            be_child(conn, pid)
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    conn.execute(WAITS)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert conn.info.backend_pid == pid
    print("the parent's statement was left alone")


def end_session(conn):
    with connect() as other:
        assert other.execute('select pg_terminate_backend(%s, 20000)',
                             [conn.info.backend_pid]).fetchone() == (True,)
    # Not looked at within 10 ms of its last use.
    time.sleep(0.02)


def main():
    with connect() as conn:
        conn.execute('drop table if exists cancels_done')
        conn.execute('create table cancels_done (number int)')
        expect_all_ways(conn, 'the parent')
        end_session(conn)
        expect_all_ways(conn, 'another session')
        fork(conn)
    with connect() as conn:
        expect_all_ways(conn, 'the next connection')


main()
