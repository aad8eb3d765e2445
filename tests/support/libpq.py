# SPDX-License-Identifier: PostgreSQL
"""The calls of libpq that tests make on a PGconn of the pool, through ctypes.

The library is the one libtine is linked with. Calls release Python's lock while they wait, so
threads are threads.
"""
import ctypes
import enum
import functools
from ctypes import c_char_p, c_int, c_void_p


class Connection(enum.IntEnum):
    """What Pg.status gives; a connection of the pool is never between the two."""
    OK = 0
    BAD = 1


class Transaction(enum.IntEnum):
    """What Pg.transaction_status gives."""
    IDLE = 0
    ACTIVE = 1
    INTRANS = 2
    INERROR = 3
    UNKNOWN = 4


class Exec(enum.IntEnum):
    """What Result.status gives."""
    EMPTY_QUERY = 0
    COMMAND_OK = 1
    TUPLES_OK = 2
    COPY_OUT = 3
    COPY_IN = 4
    BAD_RESPONSE = 5
    NONFATAL_ERROR = 6
    FATAL_ERROR = 7
    COPY_BOTH = 8
    SINGLE_TUPLE = 9
    PIPELINE_SYNC = 10
    PIPELINE_ABORTED = 11


GOOD = {Exec.EMPTY_QUERY, Exec.COMMAND_OK, Exec.TUPLES_OK, Exec.COPY_OUT, Exec.COPY_IN,
        Exec.COPY_BOTH, Exec.SINGLE_TUPLE, Exec.PIPELINE_SYNC}

FUNCTIONS = {
    'PQclear': (None, [c_void_p]),
    'PQcmdStatus': (c_char_p, [c_void_p]),
    'PQconnectdb': (c_void_p, [c_char_p]),
    'PQconsumeInput': (c_int, [c_void_p]),
    'PQbackendPID': (c_int, [c_void_p]),
    'PQenterPipelineMode': (c_int, [c_void_p]),
    'PQerrorMessage': (c_char_p, [c_void_p]),
    'PQexec': (c_void_p, [c_void_p, c_char_p]),
    'PQexitPipelineMode': (c_int, [c_void_p]),
    'PQfinish': (None, [c_void_p]),
    'PQflush': (c_int, [c_void_p]),
    'PQgetCopyData': (c_int, [c_void_p, ctypes.POINTER(c_void_p), c_int]),
    'PQgetResult': (c_void_p, [c_void_p]),
    'PQfreemem': (None, [c_void_p]),
    'PQgetisnull': (c_int, [c_void_p, c_int, c_int]),
    'PQgetlength': (c_int, [c_void_p, c_int, c_int]),
    'PQgetvalue': (c_void_p, [c_void_p, c_int, c_int]),
    'PQhost': (c_char_p, [c_void_p]),
    'PQisBusy': (c_int, [c_void_p]),
    'PQnfields': (c_int, [c_void_p]),
    'PQntuples': (c_int, [c_void_p]),
    'PQparameterStatus': (c_char_p, [c_void_p, c_char_p]),
    'PQpipelineStatus': (c_int, [c_void_p]),
    'PQpipelineSync': (c_int, [c_void_p]),
    'PQport': (c_char_p, [c_void_p]),
    'PQputCopyData': (c_int, [c_void_p, c_char_p, c_int]),
    'PQputCopyEnd': (c_int, [c_void_p, c_char_p]),
    'PQresultErrorField': (c_char_p, [c_void_p, c_int]),
    'PQresultErrorMessage': (c_char_p, [c_void_p]),
    'PQresultStatus': (c_int, [c_void_p]),
    'PQsendQuery': (c_int, [c_void_p, c_char_p]),
    'PQsendQueryParams': (c_int, [c_void_p, c_char_p, c_int, c_void_p, c_void_p, c_void_p,
                                  c_void_p, c_int]),
    'PQsetClientEncoding': (c_int, [c_void_p, c_char_p]),
    'PQsetSingleRowMode': (c_int, [c_void_p]),
    'PQsetnonblocking': (c_int, [c_void_p, c_int]),
    'PQsocket': (c_int, [c_void_p]),
    'PQsslInUse': (c_int, [c_void_p]),
    'PQstatus': (c_int, [c_void_p]),
    'PQtransactionStatus': (c_int, [c_void_p]),
}


@functools.lru_cache(maxsize=None)
def library():
    """libpq with every function's types set."""
    libpq = ctypes.CDLL('libpq.so.5')
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(libpq, name)
        function.restype, function.argtypes = result, arguments
    return libpq


def text(raw):
    return None if raw is None else raw.decode('utf-8', 'replace')


class PgError(Exception):
    """A statement failed. Attributes: sqlstate ('' when the server said nothing), text."""

    def __init__(self, sqlstate, message):
        super().__init__('%s %s' % (sqlstate or '-----', message.strip()))
        self.sqlstate, self.text = sqlstate, message.strip()


class Result:
    """A copy of a PGresult: status, command, sqlstate, text, rows (of str or None)."""

    def __init__(self, pointer):
        libpq = library()
        self.status = Exec(libpq.PQresultStatus(pointer))
        self.command = text(libpq.PQcmdStatus(pointer))
        self.sqlstate = text(libpq.PQresultErrorField(pointer, ord('C'))) or ''
        self.text = text(libpq.PQresultErrorMessage(pointer))
        fields = libpq.PQnfields(pointer)
        self.rows = [tuple(self._value(libpq, pointer, row, field) for field in range(fields))
                     for row in range(libpq.PQntuples(pointer))]
        libpq.PQclear(pointer)

    @staticmethod
    def _value(libpq, pointer, row, field):
        if libpq.PQgetisnull(pointer, row, field):
            return None
        return text(ctypes.string_at(libpq.PQgetvalue(pointer, row, field),
                                     libpq.PQgetlength(pointer, row, field)))

    def check(self):
        """The result itself, or PgError."""
        if self.status not in GOOD:
            raise PgError(self.sqlstate, self.text)
        return self


class Pg:
    """A PGconn that belongs to somebody else (a handle of the pool), or to us: finish()."""

    def __init__(self, pointer):
        self.pointer = pointer

    @classmethod
    def connect(cls, conninfo):
        """A connection outside of any pool; PgError when there is none."""
        pg = cls(library().PQconnectdb(conninfo.encode()))
        if pg.status != Connection.OK:
            message = pg.error_message
            pg.finish()
            raise PgError('', message)
        return pg

    def _call(self, name, *args):
        return getattr(library(), name)(self.pointer, *args)

    # --- statements ---

    def exec(self, sql):
        """PQexec: the Result, whatever it is."""
        pointer = self._call('PQexec', sql.encode())
        if not pointer:
            raise PgError('', self.error_message)
        return Result(pointer)

    def query(self, sql):
        """The rows of one statement; PgError when it failed."""
        return self.exec(sql).check().rows

    def value(self, sql):
        """The first value of the first row."""
        return self.query(sql)[0][0]

    def send_query(self, sql):
        self._must(self._call('PQsendQuery', sql.encode()))

    def send_query_params(self, sql):
        """The extended protocol, without parameters: what pipeline mode takes."""
        self._must(self._call('PQsendQueryParams', sql.encode(), 0, None, None, None, None, 0))

    def get_result(self):
        """The next Result, or None."""
        pointer = self._call('PQgetResult')
        return Result(pointer) if pointer else None

    def consume_input(self):
        return bool(self._call('PQconsumeInput'))

    def is_busy(self):
        return bool(self._call('PQisBusy'))

    def flush(self):
        return self._call('PQflush')

    def set_nonblocking(self, on):
        self._must(self._call('PQsetnonblocking', int(on)) == 0)

    def set_single_row_mode(self):
        self._must(self._call('PQsetSingleRowMode'))

    def set_client_encoding(self, name):
        self._must(self._call('PQsetClientEncoding', name.encode()) == 0)

    # --- COPY and pipelines ---

    def put_copy_data(self, data):
        self._must(self._call('PQputCopyData', data, len(data)) == 1)

    def put_copy_end(self, error=None):
        self._must(self._call('PQputCopyEnd', error and error.encode()) == 1)

    def get_copy_data(self):
        """One row of COPY TO as bytes, or None at its end."""
        row = c_void_p()
        length = self._call('PQgetCopyData', ctypes.byref(row), 0)
        if length == -1:
            return None
        self._must(length > 0)
        data = ctypes.string_at(row, length)
        library().PQfreemem(row)
        return data

    def enter_pipeline(self):
        self._must(self._call('PQenterPipelineMode'))

    def exit_pipeline(self):
        self._must(self._call('PQexitPipelineMode'))

    def pipeline_sync(self):
        self._must(self._call('PQpipelineSync'))

    def _must(self, good):
        if not good:
            raise PgError('', self.error_message)

    # --- what it is ---

    @property
    def status(self):
        return Connection(self._call('PQstatus'))

    @property
    def transaction_status(self):
        return Transaction(self._call('PQtransactionStatus'))

    @property
    def pipeline_status(self):
        return self._call('PQpipelineStatus')

    @property
    def error_message(self):
        return text(self._call('PQerrorMessage'))

    @property
    def backend_pid(self):
        return self._call('PQbackendPID')

    @property
    def socket(self):
        return self._call('PQsocket')

    @property
    def ssl_in_use(self):
        return bool(self._call('PQsslInUse'))

    @property
    def host(self):
        return text(self._call('PQhost'))

    @property
    def port(self):
        return int(self._call('PQport'))

    def parameter_status(self, name):
        return text(self._call('PQparameterStatus', name.encode()))

    def finish(self):
        """PQfinish: only for what connect() or Conn.detach() gave."""
        self._call('PQfinish')
        self.pointer = None
