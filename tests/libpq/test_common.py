# SPDX-License-Identifier: PostgreSQL
"""What one process under tine run finds out of a server all of its tree know."""
import time

import pytest

from libpq.programs import OPEN, Failed
from support.cluster import Cluster
from support.proxy import Proxy

ASKS = OPEN + """\
ask()
time.sleep(0.02)
"""

# Long enough to be found dead by nothing but a question, which this one does not ask by itself.
PATIENT = ['--ping-idle', '1h']
EAGER = ['--ping-idle', '30ms']


@pytest.fixture
def member(remote, tmp_path):
    """A process of one tree, on a board of the test's own."""
    directory = tmp_path / 'boards'
    directory.mkdir(mode=0o700)

    def start(conninfo, *options, name='tree'):
        python = remote(conninfo, '--quiet', '--budget', '20', '--name', name, *options,
                        env={'TINE_BOARD_DIRECTORY': str(directory)})
        python(ASKS)
        return python
    return start


def find_dead(proxy, finder):
    """Old connections are dropped without a word, and one process finds its own so."""
    before = finder('ask()')
    proxy.drop_idle()
    time.sleep(0.1)
    assert finder('ask()') != before


def test_one_death_makes_all_look(proxy, member):
    conninfo = proxy.conninfo('tls')
    finder, other = member(conninfo, *EAGER), member(conninfo, *PATIENT)
    before = other('ask()')
    find_dead(proxy, finder)
    assert other('ask()') != before


def test_what_the_test_above_shows_is_the_board(proxy, member):
    conninfo = proxy.conninfo('tls')
    finder, other = member(conninfo, *EAGER), member(conninfo, *PATIENT, name='another')
    find_dead(proxy, finder)
    with pytest.raises(Failed, match='OperationalError|DatabaseError'):
        other('ask()')


def test_loss_in_use_makes_all_look(proxy, member):
    conninfo = proxy.conninfo('tls')
    finder, other = member(conninfo, *PATIENT), member(conninfo, *PATIENT)
    before = other('ask()')
    proxy.drop_idle()
    time.sleep(0.1)
    with pytest.raises(Failed, match='OperationalError|DatabaseError'):
        finder('ask()')
    assert other('ask()') != before


def test_servers_are_told_apart(proxy, member):
    """Nothing is asked of a server because a connection to another one died."""
    with Cluster() as second, Proxy(second) as elsewhere:
        finder = member(proxy.conninfo('tls'), *EAGER)
        other = member(elsewhere.conninfo('tls'), *PATIENT)
        find_dead(proxy, finder)
        elsewhere.drop_idle()
        time.sleep(0.1)
        with pytest.raises(Failed, match='OperationalError|DatabaseError'):
            other('ask()')


def test_demoted_makes_all_look(member):
    with Cluster() as first, Cluster() as second:
        second.admin_sql("alter role app password '%s'" % first.password)
        conninfo = first.conninfo('tls', host='127.0.0.1,127.0.0.1',
                                  port='%d,%d' % (first.port, second.port),
                                  target_session_attrs='read-write')
        finder, other = member(conninfo, *EAGER), member(conninfo, *PATIENT)
        assert {finder("ask('show port')"), other("ask('show port')")} == {str(first.port)}
        first.admin_sql('alter system set default_transaction_read_only = on')
        first.admin_sql('select pg_reload_conf()')
        deadline = time.monotonic() + 20
        while finder("time.sleep(0.05)\nask('show port')") != str(second.port):
            assert time.monotonic() < deadline
        assert other("ask('show port')") == str(second.port)


def test_idle_time_that_kills_is_learned_once(proxy, member):
    """More than two seconds: shorter ones are no matter of idle time."""
    conninfo = proxy.conninfo('tls')
    finder = member(conninfo, '--ping-idle', '2s')
    before = finder('ask()')
    proxy.drop_idle()
    time.sleep(2.2)
    assert finder('ask()') != before
    other = member(conninfo, *PATIENT)
    before = other('ask()')
    proxy.drop_idle()
    time.sleep(2)
    assert other('ask()') != before
