# SPDX-License-Identifier: PostgreSQL
"""libtine for Python tests, through ctypes: what include/tine/tine.h declares, no more.

    with Pool(cluster.conninfo('tls'), pool_size=2, ping='never') as pool:
        with pool.acquire(1000) as conn:
            assert conn.query('select 1') == [('1',)]

Failures are Error with .status, .sqlstate and .text. Calls release Python's lock while they wait.
The structs here are compared with the compiler's by tests/fault/test_layout.py. After os.fork() the
objects may be used in the child as tine.h allows.
"""
import ctypes
import enum
import functools
import os
import select
import time
from ctypes import (CFUNCTYPE, POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double,
                    c_int, c_int64, c_size_t, c_uint64, c_void_p)

from . import procs
from .libpq import Pg, text


class Status(enum.IntEnum):
    OK = 0
    PENDING = 1
    E_INVALID = -1
    E_NOMEM = -2
    E_SYSTEM = -3
    E_TIMEOUT = -4
    E_QUEUE_FULL = -5
    E_PAUSED = -6
    E_CLOSED = -7
    E_FORKED = -8
    E_STALE = -9
    E_CONNECT = -10
    E_CONNECT_TIMEOUT = -11
    E_TLS = -12
    E_AUTH = -13
    E_NO_DATABASE = -14
    E_TOO_MANY = -15
    E_STARTING = -16
    E_ROLE = -17
    E_REFUSED = -18
    E_LOST = -19
    E_SQL = -20
    E_ABORTED = -21
    E_IN_DOUBT = -22
    E_BOOT = -23


# In the order of the header's enums, by the names the options and functions use.
CAUSES = ('dead', 'lost', 'recycle', 'idle', 'overflow', 'reset', 'size', 'role', 'invalidated',
          'disposed', 'detached', 'refused', 'forked', 'lent')
EVENTS = ('connect', 'first_connect', 'checkout', 'checkin', 'reset', 'invalidate', 'close', 'fork',
          'wait', 'timeout', 'leak')
DISPOSE = ('close', 'abandon')
PAUSE = ('block', 'fail')
SCOPES = ('request', 'task', 'script')
ISOLATIONS = ('default', 'read_committed', 'repeatable_read', 'serializable')
HISTOGRAM_BUCKETS = 26


class CError(Structure):
    _fields_ = [('status', c_int), ('os_errno', c_int), ('sqlstate', c_char * 6),
                ('text', c_char * 512)]


class CPoolConfig(Structure):
    _fields_ = [
        ('size', c_size_t), ('conninfo', c_char_p), ('kind', c_int), ('pool_size', c_int),
        ('max_overflow', c_int), ('max_waiting', c_int), ('connect_parallel', c_int),
        ('acquire_timeout_ms', c_int), ('connect_timeout_ms', c_int), ('recycle_ms', c_int),
        ('idle_timeout_ms', c_int), ('ping', c_int), ('ping_idle_ms', c_int),
        ('ping_timeout_ms', c_int), ('lifo', c_bool), ('connect_retry', c_bool),
        ('identity', c_bool), ('reset', c_int),
        ('tls', c_int), ('keepalives_idle_s', c_int), ('keepalives_interval_s', c_int),
        ('keepalives_count', c_int), ('tcp_user_timeout_ms', c_int), ('application_name', c_char_p),
        ('on_connect_sql', c_char_p), ('leak_after_ms', c_int), ('max_uses', c_int),
        ('max_result_bytes', c_int64), ('name', c_char_p), ('budget', c_int),
        ('budget_floor', c_int), ('budget_ceiling', c_int), ('orphan_check_ms', c_int),
        ('lend_after_ms', c_int),
    ]


class CHistogram(Structure):
    _fields_ = [('count', c_uint64), ('sum_us', c_uint64), ('bucket', c_uint64 * HISTOGRAM_BUCKETS)]


class CPoolStats(Structure):
    _fields_ = [
        ('pool_size', c_int), ('max_overflow', c_int), ('open', c_int), ('idle', c_int),
        ('busy', c_int), ('connecting', c_int), ('overflow', c_int), ('waiting', c_int),
        ('paused', c_int), ('learned_idle_ms', c_int), ('checkouts', c_uint64),
        ('opened', c_uint64), ('open_failed', c_uint64), ('timeouts', c_uint64),
        ('leaks', c_uint64), ('pings', c_uint64), ('closed', c_uint64 * len(CAUSES)),
        ('wait', CHistogram), ('hold', CHistogram), ('connect', CHistogram),
        ('last_error', CError),
    ]


class CEvent(Structure):
    _fields_ = [('kind', c_int), ('pool', c_void_p), ('pg', c_void_p), ('cause', c_int),
                ('count', c_int), ('time_us', c_uint64), ('error', POINTER(CError))]


class CTransactOptions(Structure):
    _fields_ = [('size', c_size_t), ('max_attempts', c_int), ('backoff_first_ms', c_int),
                ('backoff_max_ms', c_int), ('wait_ms', c_int), ('isolation', c_int),
                ('read_only', c_bool), ('name', c_char_p)]


# By the name of the struct in tine.h.
STRUCTS = {
    'tine_error': CError,
    'tine_pool_config': CPoolConfig,
    'tine_histogram': CHistogram,
    'tine_pool_stats': CPoolStats,
    'tine_event': CEvent,
    'tine_transact_options': CTransactOptions,
}

EVENT_FN = CFUNCTYPE(c_int, POINTER(CEvent), c_void_p)
TRANSACT_FN = CFUNCTYPE(c_int, c_void_p, c_void_p, POINTER(CError))

FUNCTIONS = {
    'tine_version': (c_char_p, []),
    'tine_status_name': (c_char_p, [c_int]),
    'tine_status_advice': (c_char_p, [c_int]),
    'tine_pool_config_init': (None, [POINTER(CPoolConfig), c_size_t]),
    'tine_pool_config_set': (c_int, [POINTER(CPoolConfig), c_char_p, c_char_p, POINTER(CError)]),
    'tine_pool_config_env': (c_int, [POINTER(CPoolConfig), POINTER(CError)]),
    'tine_pool_new': (c_void_p, [POINTER(CPoolConfig), POINTER(CError)]),
    'tine_pool_free': (None, [c_void_p]),
    'tine_pool_acquire': (c_int, [c_void_p, c_int, POINTER(c_void_p), POINTER(CError)]),
    'tine_conn_pg': (c_void_p, [c_void_p]),
    'tine_conn_release': (c_int, [c_void_p]),
    'tine_conn_invalidate': (c_int, [c_void_p]),
    'tine_conn_detach': (c_void_p, [c_void_p]),
    'tine_conn_label': (None, [c_void_p, c_char_p]),
    'tine_pool_dispose': (c_int, [c_void_p, c_int]),
    'tine_pool_resize': (c_int, [c_void_p, c_int, c_int, POINTER(CError)]),
    'tine_pool_pause': (c_int, [c_void_p, c_int, c_int, POINTER(CError)]),
    'tine_pool_resume': (c_int, [c_void_p]),
    'tine_pool_sweep': (c_int, [c_void_p]),
    'tine_cause_name': (c_char_p, [c_int]),
    'tine_histogram_quantile_us': (c_uint64, [POINTER(CHistogram), c_double]),
    'tine_pool_status': (c_int, [c_void_p, POINTER(CPoolStats), c_size_t]),
    'tine_pool_on': (c_int, [c_void_p, c_int, EVENT_FN, c_void_p]),
    'tine_pool_acquire_start': (c_int, [c_void_p, c_int, POINTER(c_void_p), POINTER(CError)]),
    'tine_acquire_poll': (c_int, [c_void_p, POINTER(c_void_p), POINTER(CError)]),
    'tine_acquire_fd': (c_int, [c_void_p]),
    'tine_acquire_cancel': (None, [c_void_p]),
    'tine_scope_begin': (c_void_p, [c_void_p, c_int, c_char_p]),
    'tine_scope_conn': (c_void_p, [c_void_p, POINTER(CError)]),
    'tine_scope_commit': (c_int, [c_void_p, POINTER(CError)]),
    'tine_scope_end': (None, [c_void_p]),
    'tine_transact_options_init': (None, [POINTER(CTransactOptions), c_size_t]),
    'tine_transact': (c_int, [c_void_p, TRANSACT_FN, c_void_p, POINTER(CTransactOptions),
                              POINTER(CError)]),
}


def library_path():
    """The built libtine.so, beside the tine that is tested."""
    return os.path.join(os.path.dirname(procs.tine_path()), 'libtine.so')


@functools.lru_cache(maxsize=None)
def library():
    """libtine with every function's types set."""
    libtine = ctypes.CDLL(library_path())
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(libtine, name)
        function.restype, function.argtypes = result, arguments
    return libtine


class Error(Exception):
    """A call failed. Attributes: status (Status), os_errno, sqlstate, text."""

    def __init__(self, raw):
        self.status = Status(raw.status)
        self.os_errno = raw.os_errno
        self.sqlstate = text(raw.sqlstate)
        self.text = text(raw.text)
        super().__init__('TINE_%s %s: %s' % (self.status.name, self.sqlstate or '-', self.text))


def check(status, error=None):
    """Pass a good status through; Error otherwise."""
    if status < 0:
        raise Error(error if error is not None else CError(status=status))
    return status


def plain_status(status):
    """The status of a call that gives no more than that."""
    return Status(status)


def _encoded(value):
    if isinstance(value, bool):
        value = 'yes' if value else 'no'
    return str(value).encode()


def make_config(conninfo=None, environment=False, **options):
    """A CPoolConfig: defaults, then the environment if wanted, then options by name."""
    config, error = CPoolConfig(), CError()
    library().tine_pool_config_init(byref(config), ctypes.sizeof(config))
    # Values are borrowed until the pool is made.
    config.kept = [] if conninfo is None else [conninfo.encode()]
    if environment:
        check(library().tine_pool_config_env(byref(config), byref(error)), error)
    if conninfo is not None:
        config.conninfo = config.kept[0]
    for name, value in options.items():
        config.kept.append(_encoded(value))
        check(library().tine_pool_config_set(byref(config), name.encode(), config.kept[-1],
                                             byref(error)), error)
    return config


class Conn:
    """A checked-out connection; a `with` block releases it. Calls of Pg work on it directly."""

    def __init__(self, handle):
        self.handle = handle

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.handle is not None:
            self.release()

    @property
    def pg(self):
        """Its Pg, or None when it was returned or is an ancestor's."""
        pointer = library().tine_conn_pg(self.handle)
        return Pg(pointer) if pointer else None

    def exec(self, sql):
        return self.pg.exec(sql)

    def query(self, sql):
        return self.pg.query(sql)

    def value(self, sql):
        return self.pg.value(sql)

    def release(self):
        """The Status. The handle is kept, so that a second call can be tried."""
        return plain_status(library().tine_conn_release(self.handle))

    def invalidate(self):
        return plain_status(library().tine_conn_invalidate(self.handle))

    def detach(self):
        """Its Pg, the caller's to finish(), or None."""
        pointer = library().tine_conn_detach(self.handle)
        return Pg(pointer) if pointer else None

    def label(self, name):
        library().tine_conn_label(self.handle, name.encode())


class Event:
    """What an event function is given: names instead of numbers."""

    def __init__(self, raw):
        self.kind = EVENTS[raw.kind]
        self.pool = raw.pool
        self.pg = Pg(raw.pg) if raw.pg else None
        self.cause = CAUSES[raw.cause] if self.kind == 'close' else None
        self.count = raw.count
        self.time_us = raw.time_us
        self.error = Error(raw.error.contents) if raw.error else None


class Acquire:
    """An acquire that does not wait; a `with` block cancels it."""

    def __init__(self, pool, wait_ms):
        self.handle = c_void_p()
        error = CError()
        check(library().tine_pool_acquire_start(pool.handle, wait_ms, byref(self.handle),
                                                byref(error)), error)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.cancel()

    @property
    def fd(self):
        return library().tine_acquire_fd(self.handle)

    def poll(self):
        """A Conn, or None: not yet. Error when it failed."""
        handle, error = c_void_p(), CError()
        status = library().tine_acquire_poll(self.handle, byref(handle), byref(error))
        return None if check(status, error) == Status.PENDING else Conn(handle)

    def wait(self, seconds=30):
        """poll() whenever the descriptor says so, until there is a Conn or an Error."""
        deadline = time.monotonic() + seconds
        while True:
            conn = self.poll()
            if conn:
                return conn
            left = deadline - time.monotonic()
            assert left > 0, 'the acquire did nothing for %s s' % seconds
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            poll.poll(left * 1000)

    def cancel(self):
        if self.handle:
            library().tine_acquire_cancel(self.handle)
            self.handle = None


class Scope:
    """One unit of work; a `with` block ends it."""

    def __init__(self, pool, kind='request', name=None):
        self.handle = library().tine_scope_begin(pool.handle, SCOPES.index(kind),
                                                 name and name.encode())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.end()

    def conn(self):
        """Its Pg, borrowed until it commits or ends."""
        error = CError()
        pointer = library().tine_scope_conn(self.handle, byref(error))
        if not pointer:
            raise Error(error)
        return Pg(pointer)

    def commit(self):
        error = CError()
        check(library().tine_scope_commit(self.handle, byref(error)), error)

    def end(self):
        if self.handle:
            library().tine_scope_end(self.handle)
            self.handle = None


def histogram_dict(raw):
    return {'count': raw.count, 'sum_us': raw.sum_us, 'bucket': list(raw.bucket)}


class Pool:
    """A pool; a `with` block frees it. Options are those of tine_pool_config, as text or numbers.

    What an event function raised is raised again at the end of the block.
    """

    def __init__(self, conninfo=None, environment=False, **options):
        error = CError()
        config = make_config(conninfo, environment, **options)
        self.handle = library().tine_pool_new(byref(config), byref(error))
        if not self.handle:
            raise Error(error)
        self._functions = []
        self.raised = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        self.free()
        if kind is None and self.raised:
            raise self.raised[0]

    def free(self):
        if self.handle:
            library().tine_pool_free(self.handle)
            self.handle = None

    def acquire(self, wait_ms=-1):
        handle, error = c_void_p(), CError()
        check(library().tine_pool_acquire(self.handle, wait_ms, byref(handle), byref(error)), error)
        return Conn(handle)

    def acquire_start(self, wait_ms=-1):
        return Acquire(self, wait_ms)

    def query(self, sql, wait_ms=-1):
        """Acquire, query, release."""
        with self.acquire(wait_ms) as conn:
            return conn.query(sql)

    def scope(self, kind='request', name=None):
        return Scope(self, kind, name)

    def dispose(self, how='close'):
        check(library().tine_pool_dispose(self.handle, DISPOSE.index(how)))

    def resize(self, pool_size, max_overflow):
        error = CError()
        check(library().tine_pool_resize(self.handle, pool_size, max_overflow, byref(error)), error)

    def pause(self, how='block', wait_ms=-1):
        error = CError()
        check(library().tine_pool_pause(self.handle, PAUSE.index(how), wait_ms, byref(error)),
              error)

    def resume(self):
        check(library().tine_pool_resume(self.handle))

    def sweep(self):
        """The number of connections closed."""
        return library().tine_pool_sweep(self.handle)

    def status(self):
        """tine_pool_stats as a dictionary; closed by cause; last_error an Error or None."""
        raw = CPoolStats()
        check(library().tine_pool_status(self.handle, byref(raw), ctypes.sizeof(raw)))
        stats = {name: getattr(raw, name) for name, _type in CPoolStats._fields_}
        stats['closed'] = dict(zip(CAUSES, raw.closed))
        for name in ('wait', 'hold', 'connect'):
            stats[name] = histogram_dict(stats[name])
        stats['last_error'] = Error(raw.last_error) if raw.last_error.status else None
        return stats

    def on(self, event, fn):
        """Have fn(Event) called; what it returns (None: 0) is the event function's result."""
        def call(raw, _user_data):
            try:
                return int(fn(Event(raw.contents)) or 0)
            except Exception as err:  # it cannot go through C; the block's end tells
                self.raised.append(err)
                return 1
        function = EVENT_FN(call)
        self._functions.append(function)
        check(library().tine_pool_on(self.handle, EVENTS.index(event), function, None))

    def transact(self, fn, **options):
        """Run fn(Pg) in a transaction: 0 or None commits. What it raises rolls back, and is raised
        again when no further attempt was made."""
        raw, error, raised = CTransactOptions(), CError(), []
        library().tine_transact_options_init(byref(raw), ctypes.sizeof(raw))
        for name, value in options.items():
            if name == 'isolation':
                value = ISOLATIONS.index(value)
            setattr(raw, name, value.encode() if name == 'name' else value)

        def call(pg, _arg, _error):
            raised.clear()
            try:
                return int(fn(Pg(pg)) or 0)
            except Exception as err:  # as in on()
                raised.append(err)
                return -Status.E_ABORTED
        status = library().tine_transact(self.handle, TRANSACT_FN(call), None, byref(raw),
                                         byref(error))
        if status == Status.E_ABORTED and raised:
            raise raised[0]
        check(status, error)
