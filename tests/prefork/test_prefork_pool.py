# SPDX-License-Identifier: PostgreSQL
"""The supervisor and the pool: the pool's child step comes before every hook of the program, and
what a killed worker had comes back."""
import re
import signal

from crewtools import Crew, receive
from support.procs import wait_until


def backends(cluster):
    return {pid for pid, in cluster.admin_sql(
        "select pid from pg_stat_activity where application_name = 'crew'")}


def crew(cluster, tmp_path, **settings):
    conninfo = cluster.conninfo('tls') + ' application_name=crew'
    return Crew(tmp_path, env={'CREW_POOL': conninfo, 'DATABASE_URL': None}, **settings)


def test_a_worker_finds_the_pool_empty_before_its_first_hook(cluster, tmp_path):
    with crew(cluster, tmp_path, workers=3) as service:
        workers = service.ready(3)
        lines = [event for event in service.events() if 'pool' in event]
        assert [event.pool for event in lines] == ['master', 'worker', 'worker', 'worker']
        for event in lines[1:]:
            assert (event.open, event.handle) == (0, 'forked')
        assert {event.pid for event in lines[1:]} == set(workers.values())
        masters = lines[0].backend
        answers = [service.ask('query') for _ in range(6)]
        own = {int(re.match(r'backend (\d+)\n', answer).group(1)) for answer in answers}
        assert masters not in own
        service.kill(signal.SIGHUP)
        service.wait_hooks('after_reload')
        assert service.ask('query').startswith('backend ')
        assert service.end() == 0
        # the master's session was its own all the time
        last = service.events()[-1]
        assert (last.pool, last.pid, last.backend, last.ok) == ('end', service.pid, masters, 1)


def test_the_connections_of_a_killed_worker_end(cluster, tmp_path):
    with crew(cluster, tmp_path, workers=2) as service:
        service.ready(2)
        masters = backends(cluster)
        assert len(masters) == 1
        for _ in range(3):
            with service.open('query') as connection:
                backend = int(connection.recv(100).split()[1])
                assert backend in backends(cluster)
                victim = service.hooks('before_unit')[-1].pid
                service.kill(signal.SIGKILL, victim)
                service.wait_hooks('child_exit', of=victim)
                receive(connection)
            wait_until(lambda gone=backend: gone not in backends(cluster))
            wait_until(lambda: len(service.workers()) == 2)
        assert service.end() == 0
        wait_until(lambda: not backends(cluster))


def test_the_permits_of_a_killed_worker_come_back(cluster, tmp_path):
    """The whole budget is held by the worker that dies, but for the master's own connection."""
    with crew(cluster, tmp_path, workers=1, threads=2, budget=3,
              acquire_timeout_ms='10s') as service:
        victim = service.ready()['web/0']
        for _ in range(4):
            with service.open('query') as one, service.open('query') as other:
                assert all(client.recv(100).startswith(b'backend ') for client in (one, other))
                service.kill(signal.SIGKILL, victim)
                service.wait_hooks('child_exit', of=victim)
            victim = wait_until(lambda: service.workers().get('web/0'))
        with service.open('query') as one, service.open('query') as other:
            for answer in map(receive, (one, other)):
                assert re.fullmatch(r'backend \d+\n%d web/0 0' % victim, answer)
        assert service.end() == 0
