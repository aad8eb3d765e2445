# SPDX-License-Identifier: PostgreSQL
"""What the README shows is what happens: its program is compiled and run, bare and under tine."""
import os
import re
import subprocess

from support import procs


def test_the_failure_and_the_fix(cluster, tmp_path):
    with open(os.path.join(procs.ROOT, 'README.md'), encoding='utf-8') as file:
        source = re.search(r'```c\n(.*?)```', file.read(), re.S).group(1)
    (tmp_path / 'shared.c').write_text(source)
    subprocess.run(['cc', '-o', tmp_path / 'shared', tmp_path / 'shared.c',
                    '-I/usr/include/postgresql', '-lpq'], check=True)
    env = {**os.environ, 'PGHOST': cluster.host, 'PGPORT': str(cluster.port),
           'PGUSER': cluster.user, 'PGPASSWORD': cluster.password, 'PGDATABASE': cluster.dbname}

    def output(prefix):
        return subprocess.run([*prefix, tmp_path / 'shared'], env=env, capture_output=True,
                              text=True, timeout=60, check=True).stdout
    assert output([]) == "the child's row\n"
    assert output(procs.tine_command()) == "the parent's row\n"
