# SPDX-License-Identifier: PostgreSQL
"""tine doctor on a database: TLS, certificates, sslmode, ways of logging in."""
import os
import socket
import ssl

import pytest

from examined import Liar, Server, examine
from pool.certificates import Authority

OTHER_NAMES = 'DNS:db.example.org, DNS:*.example.net, IP:192.0.2.1'


@pytest.fixture(scope='module')
def server():
    with Server() as cluster:
        yield cluster


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp('ca'))


@pytest.fixture
def certified(server, authority):
    """certified(days=..., names=...): the server has a certificate of the authority's."""
    def put(**what):
        authority.issue(server.dir, **what)
        server._give(os.path.join(server.dir, 'server.key'))
        server.reload()
    saved = authority.save(server.dir)
    yield put
    saved.restore()
    server.reload()


def checked(server, authority, sslmode='verify-full', **extra):
    return server.examine(sslmode=sslmode, sslrootcert=authority.certificate, **extra)


# ---- TLS -----------------------------------------------------------------------------------------

def test_tls_as_it_should_be(server):
    report = server.examine(sslmode='verify-full', sslrootcert=server.ca)
    assert report.status == 0
    assert {'tls-established', 'sslmode-effects', 'authentication', 'login'} <= report.codes()
    assert not [code for code in report.codes() if code.startswith(('certificate', 'sslmode-'))
                and code != 'sslmode-effects']
    tls = report.facts['hosts'][0]['tls']
    assert tls['version'] == 'TLSv1.3' and tls['bits'] == 256 and tls['ms'] > 0
    certificate = tls['certificate']
    assert certificate['matches_host'] and certificate['distrusted_by_sslrootcert'] == ''
    assert certificate['subject'] == 'CN=localhost' and certificate['key'] == 'EC 256 bits'
    assert certificate['names'].startswith('localhost, 127.0.0.1')


def test_tls_off(server):
    with server.set(ssl='off'):
        assert server.examine('--budget=5', transport='plain').grade('tls-refused') == 'note'
        report = server.examine(sslmode='require')
    assert report.grade('tls-refused') == 'hazard' and report.grade('login-failed') == 'hazard'
    assert report.facts['hosts'][0]['sslmodes']['require'] == 'refused: the server has no TLS'
    assert report.facts['hosts'][0]['sslmodes']['prefer'] == 'clear text'


def test_sslmodes_as_libpq_has_them(server):
    """What is said of each sslmode is what libpq does."""
    report = server.examine(sslmode='prefer', sslrootcert=server.ca)
    for sslmode, effect in report.facts['hosts'][0]['sslmodes'].items():
        again = server.examine(sslmode=sslmode, sslrootcert=server.ca)
        assert ('login-failed' in again.codes()) == effect.startswith('refused')


def test_clear_text_is_refused(server):
    with server.access('hostnossl all all all reject'):
        report = server.examine(sslmode='prefer')
    assert report.facts['hosts'][0]['sslmodes']['disable'].startswith('refused')
    assert 'clear-text-accepted' not in report.codes()
    assert server.examine(sslmode='prefer').grade('clear-text-accepted') == 'note'


@pytest.mark.parametrize('sslmode', ['disable', 'allow', 'prefer'])
def test_a_weak_sslmode(server, sslmode):
    report = server.examine(sslmode=sslmode, sslrootcert=server.ca)
    found = report.finding('sslmode-weak')
    assert found['lines'] == ['sslmode=verify-full sslrootcert=%s' % server.ca]
    # on this machine it is no more than that
    assert found['grade'] == 'note'


def test_require_checks_nothing(server):
    assert server.examine(sslmode='require').grade('sslmode-unchecked') == 'note'
    assert 'sslmode-unchecked' not in server.examine(sslmode='require',
                                                     sslrootcert=server.ca).codes()


# ---- certificates --------------------------------------------------------------------------------

def test_an_expired_certificate(server, authority, certified):
    certified(days=-1)
    report = checked(server, authority)
    assert report.grade('certificate-expired') == 'hazard'
    assert report.facts['hosts'][0]['sslmodes']['verify-ca'] == 'refused: certificate has expired'
    assert 'login-failed' in report.codes()
    report = server.examine(sslmode='require')
    assert report.grade('certificate-expired') == 'warning' and 'login' in report.codes()


def test_a_certificate_that_will_expire(server, authority, certified):
    certified(days=5)
    assert checked(server, authority).grade('certificate-expiring') == 'warning'
    certified(days=60)
    assert 'certificate-expiring' not in checked(server, authority).codes()


def test_another_name(server, authority, certified):
    certified(names=OTHER_NAMES)
    report = checked(server, authority)
    found = report.finding('certificate-name')
    assert found['grade'] == 'hazard'
    assert 'db.example.org, *.example.net, 192.0.2.1' in found['seen']
    modes = report.facts['hosts'][0]['sslmodes']
    assert modes['verify-full'] == 'refused: certificate is for other names'
    assert modes['verify-ca'] == 'encrypted, server checked'
    report = checked(server, authority, 'verify-ca')
    assert report.grade('certificate-name') == 'warning' and 'login' in report.codes()


def test_a_name_that_the_certificate_has(server, authority, certified):
    certified(names=OTHER_NAMES)
    for host in ('db.example.org', 'a.example.net', '192.0.2.1'):
        report = checked(server, authority, host=host, hostaddr='127.0.0.1')
        assert 'certificate-name' not in report.codes() and 'login' in report.codes()
    report = checked(server, authority, host='a.b.example.net', hostaddr='127.0.0.1')
    assert report.grade('certificate-name') == 'hazard' and 'login-failed' in report.codes()


def test_an_authority_that_nobody_knows(server, authority, certified):
    certified()
    report = server.examine(sslmode='verify-ca', sslrootcert=server.ca)
    assert report.grade('certificate-untrusted') == 'hazard'
    assert server.examine(sslmode='require').grade('certificate-untrusted') == 'note'
    assert 'certificate-untrusted' not in checked(server, authority).codes()
    # that it has expired as well does not hide it
    certified(days=-1)
    report = server.examine(sslmode='verify-ca', sslrootcert=server.ca)
    assert {'certificate-untrusted', 'certificate-expired'} <= report.codes()
    assert 'certificate-untrusted' not in checked(server, authority).codes()


def test_no_file_of_authorities(server):
    report = server.examine(sslmode='verify-full')
    assert report.grade('certificate-untrusted') == 'hazard'
    assert report.facts['hosts'][0]['sslmodes']['verify-full'].startswith('refused: no file')


# ---- TLS of other servers ------------------------------------------------------------------------

def tls_server(server, prepare):
    """A server that does TLS and nothing behind it."""
    def serve(client):
        if client.recv(8, socket.MSG_WAITALL)[4:] == b'\x04\xd2\x16\x2f':
            client.sendall(b'S')
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(os.path.join(server.dir, 'server.crt'),
                                    os.path.join(server.dir, 'server.key'))
            prepare(context)
            with context.wrap_socket(client, server_side=True) as encrypted:
                encrypted.recv(1)
    return Liar(serve)


@pytest.mark.filterwarnings('ignore:ssl.TLSVersion')
def test_old_tls(server):
    def old(context):
        context.set_ciphers('ALL:@SECLEVEL=0')
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with tls_server(server, old) as liar:
        report = examine(liar.conninfo(sslmode='require', connect_timeout=2))
    assert report.grade('tls-old') == 'warning'
    assert report.facts['hosts'][0]['tls']['version'] == 'TLSv1.1'


def test_tls_that_breaks():
    def serve(client):
        client.recv(8)
        client.sendall(b'S')
        client.recv(100)
        client.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n')
    with Liar(serve) as liar:
        report = examine(liar.conninfo(sslmode='require', connect_timeout=2))
    assert report.grade('tls-failed') == 'hazard'


# ---- ways of logging in --------------------------------------------------------------------------

def test_scram(server):
    report = server.examine()
    assert report.grade('authentication') == 'ok'
    assert report.facts['hosts'][0]['authentication'] == 'SCRAM-SHA-256-PLUS, SCRAM-SHA-256'


def test_md5(server):
    server.admin_sql("set password_encryption = md5; create role old login password 'md5 secret'")
    with server.access('host all old all md5'):
        report = examine(server.conninfo(user='old', password='md5 secret'), secrets=['md5 secret'])
    assert report.grade('authentication-md5') == 'warning' and 'login' in report.codes()


def test_the_password_itself(server):
    with server.access('host all app all password'):
        assert server.examine().grade('authentication-password') == 'warning'


def test_trust(server):
    with server.access('host all app all trust'):
        report = server.examine(password='')
        # on this machine only; from a network it is a hazard
        assert report.grade('authentication-trust') == 'warning'
    assert 'authentication-trust' not in server.examine().codes()


def test_trust_through_a_socket_is_none(server):
    with server.access('local all app trust'):
        assert server.examine(transport='unix').grade('authentication') == 'ok'


def test_a_wrong_password(server):
    report = examine(server.conninfo(password='not this one'), secrets=['not this one'])
    found = report.finding('login-failed')
    assert found['grade'] == 'hazard' and found['data']['sqlstate'] == '28P01'
    assert 'pg_hba.conf' in found['change']
    assert 'role' not in report.codes()


def test_no_such_database(server):
    report = server.examine(dbname='nowhere')
    assert report.finding('login-failed')['data']['sqlstate'] == '3D000'


def test_passwords_from_elsewhere(server, tmp_path):
    """PGPASSWORD and a password file work, and do not show."""
    place = server.params('tls')
    conninfo = ' '.join("%s='%s'" % (name, place[name]) for name in
                        ('host', 'port', 'user', 'dbname', 'sslmode'))
    env = {'PGPASSWORD': server.password}
    assert 'login' in examine(conninfo, secrets=[server.password], env=env).codes()
    passfile = tmp_path / 'pgpass'
    passfile.write_text('*:*:*:*:%s\n' % server.password)
    passfile.chmod(0o600)
    env = {'PGPASSFILE': str(passfile)}
    assert 'login' in examine(conninfo, secrets=[server.password], env=env).codes()
    assert examine(conninfo).finding('login-failed')['grade'] == 'hazard'
