# SPDX-License-Identifier: PostgreSQL
"""A private PostgreSQL for tests and the demo: own directory, own CA, TLS, SCRAM, free port.

    with Cluster(max_connections=200) as c:
        psycopg2.connect(c.conninfo('tls13'))

Run as root, the server belongs to the user postgres; otherwise to whoever runs it. It is stopped
and its directory removed at the end of the `with` block, at interpreter exit, and also when this
process is killed.
"""

import atexit
import contextlib
import glob
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import urllib.parse

import psycopg2

from . import procs

TRANSPORTS = {
    'tls': {'sslmode': 'require'},
    'tls12': {'sslmode': 'require', 'ssl_max_protocol_version': 'TLSv1.2'},
    'tls13': {'sslmode': 'require', 'ssl_min_protocol_version': 'TLSv1.3'},
    'plain': {'sslmode': 'disable', 'gssencmode': 'disable'},
    'unix': {},
}

OPENSSL_CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = ${ENV::TINE_CN}
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1, IP:::1
"""

# The user app needs its password on every path, with and without TLS. The superuser comes in only
# through the socket and only as the account that runs this program.
HBA = """\
local   all postgres             peer map=control
local   all app                  scram-sha-256
hostssl all app 127.0.0.1/32     scram-sha-256
hostssl all app ::1/128          scram-sha-256
hostnossl all app 127.0.0.1/32   scram-sha-256
hostnossl all app ::1/128        scram-sha-256
"""

# Run by the guard when this process died without stopping its server.
ORPHAN_ACTION = """\
lock=$1/data/postmaster.pid
pid=$(head -n 1 "$lock") && kill -s QUIT "$pid"
n=0
while [ -e "$lock" ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
rm -rf -- "$1"
"""


def pg_bindir():
    """Where initdb and postgres are: the newest of Debian's, or what is in PATH."""
    found = glob.glob('/usr/lib/postgresql/*/bin/postgres')
    found.sort(key=lambda path: [int(n) for n in re.findall(r'\d+', path)])
    binary = found[-1] if found else shutil.which('postgres')
    if not binary:
        raise FileNotFoundError('no PostgreSQL server found (Debian package: postgresql)')
    return os.path.dirname(binary)


def _quote_conninfo(value):
    return "'" + str(value).replace('\\', '\\\\').replace("'", "\\'") + "'"


class Cluster:
    """One server. Attributes: host, port, socket_dir, user, password, dbname, ca, dir."""

    host = '127.0.0.1'
    user = 'app'
    dbname = 'app'

    def __init__(self, max_connections=100, settings=None):
        self.max_connections = max_connections
        self.settings = dict(settings or {})
        self.password = secrets.token_urlsafe(18)
        self.bindir = pg_bindir()
        self.port = None
        self.dir = self.data = self.socket_dir = self.ca = None
        self._account = pwd.getpwuid(os.geteuid())
        self._server_account = pwd.getpwnam('postgres') if os.geteuid() == 0 else self._account
        self._owner = os.getpid()
        self._postgres = None
        self._guard = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        """Make the cluster and start it; ready for connections on return."""
        try:
            self._make_directory()
            self._make_certificates()
            self._run([os.path.join(self.bindir, 'initdb'), '-D', self.data, '-U', 'postgres',
                       '-E', 'UTF8', '--locale=C', '--no-sync', '-A', 'reject'])
            self._write_access()
            self._start_on_free_port()
            self.admin_sql("create role app login password '%s'" % self.password, 'postgres')
            self.admin_sql('create database app owner app', 'postgres')
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """Stop the server and remove its directory. Safe to call again, and in a forked child."""
        if os.getpid() != self._owner or self.dir is None:
            return
        with procs.signals_later():
            self._stop_server()
            # More than once when a backend that outlives a killed server still writes there.
            procs.wait_until(self._remove, 20, 'the removal of %s' % self.dir)
            self.dir = None
            self._guard.disarm()
            atexit.unregister(self.stop)

    def _remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        return not os.path.exists(self.dir)

    def restart(self, sig=signal.SIGINT):
        """Stop and start on the same port with the same data; every session is cut."""
        with self.away(sig):
            pass

    @contextlib.contextmanager
    def away(self, sig=signal.SIGINT):
        """No server for the time of a `with` block."""
        self._stop_server(sig)
        try:
            yield
        finally:
            self._start_server()

    def reload(self, **settings):
        """Change settings while it runs, such as ssl='off', and wait until they hold."""
        before = self.admin_sql('select pg_conf_load_time()')
        for name, value in settings.items():
            self.admin_sql("alter system set %s = '%s'" % (name, value))
        self.admin_sql('select pg_reload_conf()')
        procs.wait_until(lambda: self.admin_sql('select pg_conf_load_time()') != before, 30,
                         'the reload of PostgreSQL')

    # --- how to reach it ---

    def params(self, transport='tls', **extra):
        """libpq parameters as a dictionary; extra overrides."""
        host = self.socket_dir if transport == 'unix' else self.host
        return {'host': host, 'port': self.port, 'user': self.user, 'password': self.password,
                'dbname': self.dbname, **TRANSPORTS[transport], **extra}

    def conninfo(self, transport='tls', **extra):
        """libpq connection string. For verify-full: sslmode='verify-full', sslrootcert=c.ca."""
        params = self.params(transport, **extra)
        return ' '.join('%s=%s' % (name, _quote_conninfo(value)) for name, value in params.items())

    def url(self, transport='tls', driver='', **extra):
        """postgresql[+driver]://user:password@host:port/dbname?… with what transport needs."""
        query = {**TRANSPORTS[transport], **extra}
        place = '%s:%d' % (self.host, self.port)
        if transport == 'unix':
            place, query = '', {'host': self.socket_dir, 'port': self.port, **query}
        return 'postgresql%s://%s:%s@%s/%s%s' % (
            '+' + driver if driver else '', self.user, urllib.parse.quote(self.password), place,
            self.dbname, '?' + urllib.parse.urlencode(query) if query else '')

    def admin_sql(self, sql, dbname='app', params=None):
        """Run sql as the superuser in autocommit mode over the socket; the rows as a list."""
        conn = psycopg2.connect(host=self.socket_dir, port=self.port, user='postgres',
                                dbname=dbname, connect_timeout=30)
        try:
            conn.autocommit = True
            with conn.cursor() as cur:
                cur.execute(sql, params)
                return cur.fetchall() if cur.description else []
        finally:
            conn.close()

    def log_text(self):
        """All the server has logged so far."""
        with open(self._logfile, encoding='utf-8', errors='replace') as log:
            return log.read()

    # --- making it ---

    @property
    def _logfile(self):
        return os.path.join(self.dir, 'log')

    def _make_directory(self):
        # Directly under /tmp where that is possible: the path of a unix socket is limited to 107
        # bytes. Others may pass through (a server under test can run as another user) but not list.
        base = '/tmp' if os.access('/tmp', os.W_OK | os.X_OK) else None
        with procs.signals_later():
            self.dir = tempfile.mkdtemp(prefix='tine-pg-', dir=base)
            self._guard = procs.Guard(ORPHAN_ACTION, self.dir)
            atexit.register(self.stop)
        os.chmod(self.dir, 0o711)
        self.data = os.path.join(self.dir, 'data')
        self.socket_dir = os.path.join(self.dir, 's')
        for path, mode in ((self.data, 0o700), (self.socket_dir, 0o755)):
            os.mkdir(path)
            os.chmod(path, mode)
            self._give(path)

    def _give(self, path):
        os.chown(path, self._server_account.pw_uid, self._server_account.pw_gid)

    def _make_certificates(self):
        """A CA of our own and a server certificate for localhost, 127.0.0.1 and ::1."""
        path = {name: os.path.join(self.dir, name) for name in
                ('openssl.cnf', 'ca.crt', 'ca.key', 'server.csr', 'server.crt', 'server.key')}
        with open(path['openssl.cnf'], 'w', encoding='ascii') as config:
            config.write(OPENSSL_CONFIG)
        new_key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
                   '-config', path['openssl.cnf']]
        self._openssl('tine test CA', 'req', '-x509', *new_key, '-extensions', 'ca', '-days', '30',
                      '-keyout', path['ca.key'], '-out', path['ca.crt'])
        self._openssl('localhost', 'req', *new_key, '-keyout', path['server.key'],
                      '-out', path['server.csr'])
        self._openssl('', 'x509', '-req', '-in', path['server.csr'], '-CA', path['ca.crt'],
                      '-CAkey', path['ca.key'], '-set_serial', '1', '-days', '30',
                      '-extfile', path['openssl.cnf'], '-extensions', 'server',
                      '-out', path['server.crt'])
        for name in ('ca.key', 'server.csr'):
            os.unlink(path[name])
        os.chmod(path['server.key'], 0o600)
        self._give(path['server.key'])
        self.ca = path['ca.crt']

    def _openssl(self, common_name, *args):
        self._run(['openssl', *args], env={'TINE_CN': common_name}, as_server=False)

    def _as_server(self, args):
        if os.geteuid() != 0:
            return args
        return ['setpriv', '--reuid', self._server_account.pw_name,
                '--regid', str(self._server_account.pw_gid), '--init-groups', *args]

    @staticmethod
    def _server_env():
        # Nothing of the caller's: PG* names and LD_PRELOAD are for the programs under test.
        return {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C', 'TZ': 'UTC'}

    def _run(self, args, env=None, as_server=True):
        done = subprocess.run(
            self._as_server(args) if as_server else args, env={**self._server_env(), **(env or {})},
            cwd=self.dir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError('%s ended with %d:\n%s' % (args[0], done.returncode, done.stdout))

    def _write_access(self):
        # Not on the command line, which could not be overruled while the server runs.
        with open(os.path.join(self.data, 'postgresql.conf'), 'a', encoding='ascii') as file:
            file.write('ssl = on\n')
        maps = ''.join('control %s postgres\n' % name for name in
                       {self._account.pw_name, self._server_account.pw_name})
        for name, text in (('pg_hba.conf', HBA), ('pg_ident.conf', maps)):
            with open(os.path.join(self.data, name), 'w', encoding='ascii') as file:
                file.write(text)

    # --- running it ---

    def _options(self):
        addresses = [self.host] + (['::1'] if procs.have_ipv6() else [])
        return {
            'port': self.port, 'listen_addresses': ','.join(addresses),
            'unix_socket_directories': self.socket_dir, 'max_connections': self.max_connections,
            'ssl_cert_file': os.path.join(self.dir, 'server.crt'),
            'ssl_key_file': os.path.join(self.dir, 'server.key'), 'ssl_ca_file': self.ca,
            'password_encryption': 'scram-sha-256', 'fsync': 'off', 'synchronous_commit': 'off',
            'full_page_writes': 'off', 'shared_buffers': '32MB', 'log_timezone': 'UTC',
            'log_line_prefix': '%m [%p] %q%u@%d ', **self.settings}

    def _start_on_free_port(self):
        for attempt in range(5):
            self.port = procs.free_port()
            try:
                return self._start_server()
            except AssertionError:
                # Somebody else was faster to take the port: try another one.
                if attempt == 4 or 'Address already in use' not in self.log_text():
                    raise

    def _start_server(self):
        args = [os.path.join(self.bindir, 'postgres'), '-D', self.data]
        for name, value in self._options().items():
            args += ['-c', '%s=%s' % (name, value)]
        with open(self._logfile, 'ab') as log, procs.signals_later():
            # A session of its own: Ctrl-C at the terminal must reach us, not the server.
            self._postgres = subprocess.Popen(
                self._as_server(args), env=self._server_env(), cwd=self.dir, stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        procs.wait_until(self._answers, 60, 'the start of PostgreSQL')

    def _answers(self):
        assert self._postgres.poll() is None, 'postgres ended:\n' + self.log_text()[-4000:]
        return self.admin_sql('select 1', 'postgres')

    def _stop_server(self, sig=signal.SIGINT):
        """SIGINT is PostgreSQL's fast shutdown; what does not end by that is made to."""
        if self._postgres is None:
            return
        for attempt in (sig, signal.SIGQUIT, signal.SIGKILL):
            if self._postgres.poll() is None:
                self._postgres.send_signal(attempt)
            try:
                self._postgres.wait(20)
                break
            except subprocess.TimeoutExpired:
                continue
        self._postgres = None
