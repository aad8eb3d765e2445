# SPDX-License-Identifier: PostgreSQL
"""PgBouncer in front of a Cluster, in transaction mode: unix sockets on both sides and no password
asked; or, with tls, TLS to the server, and clients over TCP with SCRAM, over TLS if they want it.

    with Bouncer(cluster, 16) as bouncer:
        psycopg2.connect(bouncer.conninfo())
"""
import os
import tempfile

import psycopg2

from support import procs

PROGRAM = '/usr/sbin/pgbouncer'

CONFIG = """\
[databases]
app = host=%(server)s port=%(server_port)d dbname=app user=app password=%(password)s
[pgbouncer]
listen_addr = %(address)s
listen_port = %(port)d
unix_socket_dir = %(directory)s
auth_type = %(auth)s
auth_file = %(users)s
server_tls_sslmode = %(sslmode)s
client_tls_sslmode = %(clients)s
client_tls_key_file = %(files)s/server.key
client_tls_cert_file = %(files)s/server.crt
pool_mode = transaction
default_pool_size = %(size)d
max_client_conn = 1000
"""


class Bouncer:
    """Stopped, and its directory removed, with the `with` block."""

    def __init__(self, cluster, size, tls=False):
        self.cluster, self.tls = cluster, tls
        self.port = procs.free_port() if tls else cluster.port
        # In the cluster's directory, since PgBouncer refuses to run as root.
        self._directory = tempfile.TemporaryDirectory(prefix='pgbouncer-', dir=cluster.dir)
        self.directory = os.path.join(self._directory.name, 's')
        os.mkdir(self.directory)
        os.chmod(self._directory.name, 0o755)
        os.chmod(self.directory, 0o777)
        self.config = self._write('pgbouncer.ini', CONFIG % {
            'server': cluster.host if tls else cluster.socket_dir, 'server_port': cluster.port,
            'address': cluster.host if tls else '', 'port': self.port, 'size': size,
            'directory': self.directory, 'password': cluster.password,
            'auth': 'scram-sha-256' if tls else 'any', 'sslmode': 'require' if tls else 'disable',
            'clients': 'allow' if tls else 'disable', 'files': cluster.dir,
            'users': self._write('users', '"app" "%s"\n' % cluster.password)})
        self._process = None

    def _write(self, name, text):
        path = os.path.join(self._directory.name, name)
        with open(path, 'w', encoding='ascii') as file:
            file.write(text)
        return path

    def __enter__(self):
        user = ['-u', 'postgres'] if os.geteuid() == 0 else []
        self._process = procs.Proc([PROGRAM, *user, self.config]).__enter__()
        try:
            self._process.wait_ready(self._answers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        self._process.stop()
        self._directory.cleanup()

    def conninfo(self, sslmode='disable'):
        """Without a password: PGPASSWORD has it, where one is asked for."""
        return 'host=%s port=%d user=app dbname=app sslmode=%s' % (
            self.cluster.host if self.tls else self.directory, self.port, sslmode)

    def _answers(self):
        psycopg2.connect(self.conninfo(), password=self.cluster.password,
                         connect_timeout=5).close()
        return True
