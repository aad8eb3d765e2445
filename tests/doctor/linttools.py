# SPDX-License-Identifier: PostgreSQL
"""Projects that tests write, and what `tine doctor --lint` says of them."""
import json
import os
import subprocess
import textwrap

from support import procs

BAD = ('warning', 'hazard')


class Report:
    def __init__(self, done):
        self.status = done.returncode
        self.output, self.errors = done.stdout, done.stderr
        self.json = json.loads(done.stdout) if done.stdout.startswith('{') else {}
        self.findings = self.json.get('findings', [])

    def codes(self, *grades):
        """The codes of findings, those worse than a note when no grade is named."""
        return {found['code'] for found in self.findings if found['grade'] in (grades or BAD)}

    def of(self, code):
        found = [found for found in self.findings if found['code'] == code]
        assert found, 'no %s in %s' % (code, [f['code'] for f in self.findings])
        return found[0]


def write(folder, files):
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, str):
            content = textwrap.dedent(content).encode()
        with open(path, 'wb') as file:
            file.write(content)


def doctor(*words, **options):
    return Report(subprocess.run(
        [procs.tine_path(), 'doctor', *map(str, words)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, errors='replace', timeout=300, check=False, **options))


def lint(folder, files, *words):
    """The report on a project of these files."""
    write(folder, files)
    report = doctor('--lint', folder, '--json', *words)
    assert report.status in (0, 1), report.errors
    assert 'a bug of' not in report.output
    assert (report.status == 1) == bool(report.codes()), report.output
    return report
