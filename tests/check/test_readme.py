# SPDX-License-Identifier: PostgreSQL
"""What the README shows is what happens: its program is compiled and run, bare and under tine."""
import os
import re
import subprocess

from support import procs


def blocks():
    with open(os.path.join(procs.ROOT, 'README.md'), encoding='utf-8') as file:
        return re.findall(r'```c\n(.*?)```', file.read(), re.S)


def test_the_failure_and_the_fix(cluster, tmp_path):
    (tmp_path / 'shared.c').write_text(blocks()[0])
    subprocess.run(['cc', '-o', tmp_path / 'shared', tmp_path / 'shared.c',
                    '-I/usr/include/postgresql', '-lpq'], check=True)
    env = {**os.environ, 'PGHOST': cluster.host, 'PGPORT': str(cluster.port),
           'PGUSER': cluster.user, 'PGPASSWORD': cluster.password, 'PGDATABASE': cluster.dbname}

    def output(prefix):
        return subprocess.run([*prefix, tmp_path / 'shared'], env=env, capture_output=True,
                              text=True, timeout=60, check=True).stdout
    assert output([]) == "the child's row\n"
    assert output(procs.tine_command()) == "the parent's row\n"


def test_the_pool_in_c(cluster, tmp_path):
    (tmp_path / 'pooled.c').write_text(blocks()[1])
    build = os.path.dirname(procs.tine_path())
    env = {**os.environ, 'PKG_CONFIG_PATH': os.path.join(build, 'meson-uninstalled'),
           'LD_LIBRARY_PATH': build, 'DATABASE_URL': cluster.url('tls').split('?')[0]}
    subprocess.run('eval "cc pooled.c -o pooled $(pkg-config --cflags --libs tine)"', shell=True,
                   cwd=tmp_path, env=env, check=True)
    done = subprocess.run([tmp_path / 'pooled'], env=env, capture_output=True, text=True,
                          timeout=60, check=True)
    # The child's row comes before or after the parent's second one.
    assert sorted(done.stdout.splitlines()) == ["the child's row"] + 2 * ["the parent's row"]
