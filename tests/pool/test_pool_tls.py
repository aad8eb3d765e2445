# SPDX-License-Identifier: PostgreSQL
"""TLS: certificates that do not hold, servers without it, and no way back into clear text."""
import os

import pytest

from certificates import Authority
from pooltools import MARGIN, Timed, grow_old
from support.cluster import Cluster
from support.libtine import Error, Pool, Status
from support.procs import wait_until


@pytest.fixture(scope='module')
def server():
    with Cluster() as cluster:
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


def refusal(pool):
    """An acquire that fails at once, for good and for TLS's sake: its text."""
    with Timed() as timed, pytest.raises(Error) as caught:
        pool.acquire()
    assert caught.value.status == Status.E_TLS, caught.value
    assert timed.seconds < MARGIN
    return caught.value.text


def works(pool, ssl=True):
    with pool.acquire() as conn:
        return conn.value('select 1') == '1' and conn.pg.ssl_in_use == ssl


# ---- the transports ------------------------------------------------------------------------------

@pytest.mark.parametrize('transport, protocol', [('tls12', 'TLSv1.2'), ('tls13', 'TLSv1.3')])
def test_both_versions(server, transport, protocol):
    with Pool(server.conninfo(transport)) as pool:
        assert works(pool)
        rows = pool.query('select version from pg_stat_ssl where pid = pg_backend_pid()')
        assert rows == [(protocol,)]


def bare(server, **extra):
    """A conninfo that says nothing about TLS."""
    params = {**server.params('unix'), 'host': server.host, **extra}
    return ' '.join("%s='%s'" % item for item in params.items())


def test_tls_is_the_default(server):
    """Nothing said: encrypted over TCP, and a socket's directory needs none."""
    with Pool(bare(server)) as pool:
        assert works(pool)
    with Pool(server.conninfo('unix')) as pool:
        assert works(pool, ssl=False)


@pytest.mark.parametrize('tls, ssl', [('disable', False), ('prefer', True), ('require', True)])
def test_by_name(server, tls, ssl):
    with Pool(bare(server), tls=tls) as pool:
        assert works(pool, ssl)


@pytest.mark.parametrize('conninfo', [{}, {'sslmode': 'require'}])
def test_a_server_without_tls_is_refused_at_once(server, conninfo):
    server.reload(ssl='off')
    try:
        with Pool(bare(server, **conninfo), connect_retry=True) as pool:
            text = refusal(pool)
            assert 'does not support SSL' in text
            assert 'tls' in text.lower()
            refusal(pool)
        with Pool(bare(server), tls='disable') as pool:
            assert works(pool, ssl=False)
        with Pool(bare(server), tls='prefer') as pool:
            assert works(pool, ssl=False)
    finally:
        server.reload(ssl='on')


def test_f34_no_way_back_into_clear_text(server):
    """F34: with prefer, one encrypted connection is a promise; a server that then says it has no
    TLS is not believed."""
    with Pool(bare(server), tls='prefer', pool_size=2, max_overflow=0) as pool:
        with pool.acquire() as first:
            assert first.pg.ssl_in_use
            server.reload(ssl='off')
            try:
                # the one there is goes on, encrypted; a further one is refused
                assert first.value('select 1') == '1'
                first.invalidate()
                first.handle = None
                assert 'SSL' in refusal(pool)
                assert 'SSL' in refusal(pool)
                pool.dispose()
                assert 'SSL' in refusal(pool)
            finally:
                server.reload(ssl='on')
        grow_old()
        wait_until(lambda: works_now(pool), 2 + MARGIN)


def works_now(pool):
    try:
        return works(pool)
    except Error:
        return False


# ---- certificates --------------------------------------------------------------------------------

def verified(server, authority, mode='verify-full', **extra):
    return bare(server, sslmode=mode, sslrootcert=authority.certificate, **extra)


@pytest.mark.parametrize('mode', ['verify-ca', 'verify-full'])
def test_a_good_certificate(server, authority, certified, mode):
    certified()
    with Pool(verified(server, authority, mode)) as pool:
        assert works(pool)
    with Pool(bare(server, sslrootcert=authority.certificate), tls=mode) as pool:
        assert works(pool)


@pytest.mark.parametrize('what, word', [
    ({'days': -1}, 'certificate verify failed'),
    ({'names': 'DNS:db.example.org'}, 'match host name')])
def test_f33_a_certificate_that_does_not_hold(server, authority, certified, what, word):
    """F33: permanent, with the cause, and without a storm of attempts."""
    certified(**what)
    with Pool(verified(server, authority, host='localhost'), connect_retry=True) as pool:
        assert word in refusal(pool)
        for _ in range(50):
            refusal(pool)
        assert pool.status()['open_failed'] < 10


def test_f33_another_name_is_good_enough_for_verify_ca(server, authority, certified):
    """F33: which is what the name of that mode says."""
    certified(names='DNS:db.example.org')
    with Pool(verified(server, authority, 'verify-ca')) as pool:
        assert works(pool)


@pytest.mark.parametrize('mode', ['verify-ca', 'verify-full'])
def test_f33_an_unknown_authority(server, authority, mode):
    """F33: the server's own certificate is of another authority."""
    with Pool(verified(server, authority, mode), connect_retry=True) as pool:
        assert 'certificate verify failed' in refusal(pool)


def test_f33_a_revoked_certificate(server, authority, certified):
    """F33: with sslcrl; libpq does not say that this is the reason."""
    certified()
    listed = authority.revocations()
    with Pool(verified(server, authority, sslcrl=listed)) as pool:
        assert works(pool)
        authority.revoke(server.dir)
        assert authority.revocations() == listed
        pool.dispose()
        assert 'certificate verify failed' in refusal(pool)


def test_f33_no_root_certificate(server, tmp_path):
    """F33: verify-full without anything to verify with."""
    conninfo = bare(server, sslmode='verify-full', sslrootcert=tmp_path / 'missing')
    with Pool(conninfo) as pool:
        assert 'missing' in refusal(pool)


def test_f33_it_is_mended(server, authority, certified):
    """F33: the pool goes on when the certificate is good again."""
    certified(days=-1)
    with Pool(verified(server, authority)) as pool:
        refusal(pool)
        certified()
        wait_until(lambda: works_now(pool), 5 + MARGIN)


