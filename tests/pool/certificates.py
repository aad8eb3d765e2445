# SPDX-License-Identifier: PostgreSQL
"""Certificates for a server that a Cluster does not make: expired, of other names, revoked."""
import datetime
import os
import shutil
import subprocess

CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = ${ENV::CN}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = ${ENV::NAMES}
[ca]
default_ca = here
[here]
dir = .
database = index
serial = serial
new_certs_dir = .
certificate = ca.crt
private_key = ca.key
default_md = sha256
default_crl_days = 30
policy = any
[any]
commonName = supplied
"""

LOCAL = 'DNS:localhost, IP:127.0.0.1'


class Saved:
    """The files of a server as they were."""

    def __init__(self, folder, copies):
        self._folder, self._copies = folder, copies

    def restore(self):
        for name, content in self._copies.items():
            _write(os.path.join(self._folder, name), content)


def _write(path, content):
    # In place: the owner and the mode stay what the server wants them to be.
    with open(path, 'wb') as file:
        file.write(content)


def _read(path):
    with open(path, 'rb') as file:
        return file.read()


def _stamp(days):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(days=days)).strftime('%Y%m%d%H%M%SZ')


class Authority:
    """An authority of its own in a folder. Attribute: certificate, for sslrootcert."""

    def __init__(self, folder):
        self._folder = str(folder)
        self.certificate = os.path.join(self._folder, 'ca.crt')
        for name, content in (('config', CONFIG), ('index', ''), ('serial', '01\n')):
            _write(os.path.join(self._folder, name), content.encode())
        self._openssl('req', '-x509', *self._key('ca.key'), '-extensions', 'authority',
                      '-days', '30', '-out', 'ca.crt', CN='tests of the pool')

    @staticmethod
    def _key(path):
        return ['-config', 'config', '-nodes', '-newkey', 'ec', '-pkeyopt',
                'ec_paramgen_curve:prime256v1', '-keyout', path]

    def _openssl(self, *args, CN='', NAMES=LOCAL):
        done = subprocess.run(['openssl', *args], cwd=self._folder, stdin=subprocess.DEVNULL,
                              env={'PATH': '/usr/bin:/bin', 'CN': CN, 'NAMES': NAMES},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        assert done.returncode == 0, done.stdout

    @staticmethod
    def save(folder):
        """What the server in that folder has now."""
        return Saved(folder, {name: _read(os.path.join(folder, name))
                              for name in ('server.crt', 'server.key')})

    def issue(self, folder, days=30, names=LOCAL):
        """Give the server in that folder a certificate that ends so many days from now."""
        self._openssl('req', *self._key('new.key'), '-out', 'new.csr', CN='localhost', NAMES=names)
        self._openssl('ca', '-config', 'config', '-batch', '-notext', '-extensions', 'server',
                      '-startdate', _stamp(-10), '-enddate', _stamp(days), '-in', 'new.csr',
                      '-out', 'new.crt', NAMES=names)
        for name in ('crt', 'key'):
            _write(os.path.join(folder, 'server.' + name),
                   _read(os.path.join(self._folder, 'new.' + name)))
        # the next one may have the same subject
        _write(os.path.join(self._folder, 'index'), b'')

    def revoke(self, folder):
        """Revoke the server's certificate."""
        shutil.copy(os.path.join(folder, 'server.crt'), os.path.join(self._folder, 'gone.crt'))
        self._openssl('ca', '-config', 'config', '-revoke', 'gone.crt')

    def revocations(self):
        """The path of the list of what was revoked, for sslcrl."""
        self._openssl('ca', '-config', 'config', '-gencrl', '-out', 'list.crl')
        return os.path.join(self._folder, 'list.crl')
