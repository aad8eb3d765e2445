# SPDX-License-Identifier: PostgreSQL
"""`tine run` as its user meets it: environment, exit status, warnings, --check, --strict."""
import json
import os
import shutil
import signal
import stat
import subprocess
import sys

import pytest

from support import procs

BUILD = os.path.dirname(procs.tine_path())
LIBRARY = os.path.realpath(os.path.join(BUILD, 'libtine-preload.so'))
C_PROGRAM = 'int main(void) { return 0; }\n'


def tine(*words, env=None, cwd=None, program=None, **options):
    """Run `tine run` with these words; the result has text output."""
    base = {k: v for k, v in os.environ.items() if not k.startswith(('TINE_', 'LD_', 'PG'))}
    base.update(env or {})
    return subprocess.run([program or procs.tine_path(), 'run', *map(str, words)], env=base,
                          cwd=cwd, capture_output=True, text=True, timeout=60, **options)


def compile_program(directory, compiler, *flags):
    source = directory / 'program.c'
    source.write_text(C_PROGRAM)
    target = directory / 'program'
    subprocess.run([compiler, *flags, '-o', target, source], check=True, capture_output=True)
    return target


def environment_of(result):
    return dict(line.split('=', 1) for line in result.stdout.splitlines() if '=' in line)


def test_becomes_the_command():
    process = subprocess.Popen([*procs.tine_command(), sys.executable, '-c',
                                'import os; print(os.getpid()); raise SystemExit(7)'],
                               stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate(timeout=60)
    assert int(output) == process.pid
    assert process.returncode == 7


def test_signals_reach_the_command():
    process = subprocess.Popen([*procs.tine_command(), 'sh', '-c', 'echo ready; exec cat'],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'ready\n'
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM
    process.stdin.close()
    process.stdout.close()


def test_sets_only_what_is_needed():
    result = tine('--', 'env')
    env = environment_of(result)
    assert os.path.realpath(env['LD_PRELOAD']) == LIBRARY
    assert not [name for name in env if name.startswith('TINE_')]
    assert result.stderr == ''


def test_extends_what_was_there():
    before = '/elsewhere/libtine-preload.so:libdl.so.2 libm.so.6'
    entries = environment_of(tine('--', 'env', env={'LD_PRELOAD': before}))['LD_PRELOAD'].split(':')
    assert entries[:-1] == ['libdl.so.2', 'libm.so.6']
    assert os.path.realpath(entries[-1]) == LIBRARY


def test_inside_itself():
    result = tine('--port', '47021', '--', procs.tine_path(), 'run', '--verbose', '--', 'env')
    env = environment_of(result)
    assert os.path.realpath(env['LD_PRELOAD']) == LIBRARY
    assert env['TINE_PORT'] == '47021'
    assert env['TINE_VERBOSE'] == '1'


def test_the_end_of_options_may_be_left_out():
    assert tine('--port', '1', 'sh', '-c', 'exit 3').returncode == 3


@pytest.mark.parametrize('words, status, text', [
    ([], 100, 'no command given'),
    (['--', 'no-such-command'], 127, "'no-such-command': command not found"),
    (['--', '/no/such/file'], 127, "'/no/such/file'"),
    (['--', '/etc/passwd'], 126, 'Permission denied'),
    (['--', '/tmp'], 126, "'/tmp'"),
    (['--port', '5432,x', '--', 'true'], 100, "--port: '5432,x'"),
    (['--port', '0', '--', 'true'], 100, '1 to 65535'),
    (['--nonsense', '--', 'true'], 100, '--nonsense'),
    (['--port'], 100, '--port needs a value'),
    (['--quiet', '--verbose', '--', 'true'], 100, 'exclude each other'),
    (['--log', '/no/such/directory/log', '--', 'true'], 111, '/no/such/directory/log'),
])
def test_errors(words, status, text):
    result = tine(*words)
    assert (result.returncode, result.stdout) == (status, '')
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_wrong_variable_is_an_error():
    result = tine('--', 'true', env={'TINE_PORT': 'seven'})
    assert result.returncode == 100
    assert "TINE_PORT: 'seven'" in result.stderr


def test_a_script_without_interpreter_line_runs_in_the_shell(tmp_path):
    script = tmp_path / 'script'
    script.write_text('exit 5\n')
    script.chmod(0o755)
    assert tine('--', script).returncode == 5


def test_log_names_do_not_depend_on_the_directory(tmp_path):
    result = tine('--log', 'my.log', '--', 'sh', '-c', 'cd / && env', cwd=tmp_path)
    assert environment_of(result)['TINE_LOG'] == str(tmp_path / 'my.log')
    assert stat.S_IMODE((tmp_path / 'my.log').stat().st_mode) == 0o600


def test_verbose_says_that_it_watches(tmp_path):
    log = tmp_path / 'log'
    tine('--verbose', '--log', log, '--', 'true')
    assert 'guard: watching true' in log.read_text()


# ---- what can be protected ---------------------------------------------------------------------

def check(*words, **options):
    """(status, verdict of each program) of --check --json."""
    result = tine('--check', '--json', '--', *words, **options)
    report = json.loads(result.stdout)
    assert report['protected'] == (result.returncode == 0)
    return result.returncode, [item['verdict'] for item in report['programs']]


def test_check_of_a_program():
    assert check('true') == (0, ['guarded'])
    result = tine('--check', '--', 'true')
    assert result.stdout == '%s is protected\n' % shutil.which('true')


def test_check_does_not_run_the_command(tmp_path):
    tine('--check', '--', 'touch', tmp_path / 'touched')
    assert not (tmp_path / 'touched').exists()


def test_check_follows_scripts(tmp_path):
    script = tmp_path / 'script'
    script.write_text('#!/bin/sh -e\n')
    script.chmod(0o755)
    assert check(script) == (0, ['script', 'guarded'])
    script.write_text('#! /usr/bin/env -S X=1 sh -e\n')
    assert check(script) == (0, ['script', 'guarded', 'guarded'])
    script.write_text('#!/no/such/interpreter\n')
    assert check(script) == (1, ['script', 'missing'])
    script.write_text('#!%s\n' % script)
    status, verdicts = check(script)
    assert (status, set(verdicts)) == (0, {'script'})


def assert_unprotectable(program, verdict, words, **options):
    assert check(program, **options)[1][-1] == verdict
    warned = tine('--', program, **options)
    assert 'warning: running unprotected' in warned.stderr and words in warned.stderr
    assert warned.returncode == 0
    assert tine('--quiet', '--', program, **options).stderr == ''
    strict = tine('--strict', '--', program, **options)
    assert strict.returncode == 126
    assert 'not started (--strict)' in strict.stderr and words in strict.stderr


def test_static_program(tmp_path):
    assert_unprotectable(compile_program(tmp_path, 'gcc', '-static'), 'static', 'statically linked')


def test_static_pie_program(tmp_path):
    assert_unprotectable(compile_program(tmp_path, 'gcc', '-static-pie'), 'static',
                         'statically linked')


def test_musl_program(tmp_path):
    if not shutil.which('musl-gcc'):
        pytest.skip('musl-gcc is not installed')
    assert_unprotectable(compile_program(tmp_path, 'musl-gcc'), 'other-libc', 'C library')


def test_strict_does_not_start_it(tmp_path):
    target = compile_program(tmp_path, 'gcc', '-static')
    script = tmp_path / 'script'
    script.write_text('#!%s\n' % target)
    script.chmod(0o755)
    assert tine('--strict', '--', script).returncode == 126


def test_other_machine(tmp_path):
    program = tmp_path / 'program'
    with open(compile_program(tmp_path, 'gcc'), 'rb') as file:
        image = bytearray(file.read())
    image[18:20] = (8).to_bytes(2, 'little')  # e_machine: MIPS
    program.write_bytes(image)
    program.chmod(0o755)
    assert check(program) == (1, ['other-machine'])


def test_sanitized_program(tmp_path):
    program = compile_program(tmp_path, 'gcc', '-fsanitize=address')
    assert_unprotectable(program, 'sanitizer', 'libasan')


def as_nobody(words):
    return ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--', *words]


def check_as_nobody(program, tmp_path):
    """The verdict an ordinary user gets; needs root to become one."""
    if os.geteuid() != 0:
        pytest.skip('needs root, to make the file and to become an ordinary user')
    for directory in [tmp_path, *tmp_path.parents]:
        if directory.owner() == 'root' and str(directory).startswith('/tmp/'):
            directory.chmod(0o755)
    copy = tmp_path / 'copy'
    copy.mkdir(mode=0o755)
    for name in ('tine', 'libtine-preload.so'):
        shutil.copy(os.path.join(BUILD, name), copy)
    result = subprocess.run(as_nobody([copy / 'tine', 'run', '--check', '--json', '--', program]),
                            capture_output=True, text=True, timeout=60)
    return json.loads(result.stdout)['programs'][-1]['verdict']


def test_setuid_program(tmp_path):
    program = compile_program(tmp_path, 'gcc')
    program.chmod(0o4755)
    assert check_as_nobody(program, tmp_path) == 'setuid'


def test_setuid_matters_only_to_others(tmp_path):
    program = compile_program(tmp_path, 'gcc')
    program.chmod(0o4755)
    assert check(program) == (0, ['guarded'])


def test_program_with_capabilities(tmp_path):
    program = compile_program(tmp_path, 'gcc')
    if not shutil.which('setcap', path='/sbin:/usr/sbin:/bin:/usr/bin'):
        pytest.skip('setcap is not installed')
    done = subprocess.run(['/sbin/setcap', 'cap_net_bind_service+ep', program], capture_output=True,
                          text=True)
    if done.returncode != 0:
        pytest.skip('setcap: ' + done.stderr.strip())
    assert check_as_nobody(program, tmp_path) == 'capabilities'


# ---- where the library is ----------------------------------------------------------------------

def preloaded(result):
    return os.path.realpath(environment_of(result)['LD_PRELOAD'])


def copy_build(directory):
    directory.mkdir(parents=True)
    for name in ('tine', 'libtine-preload.so'):
        shutil.copy(os.path.join(BUILD, name), directory)
    return directory / 'tine'


@pytest.mark.parametrize('name', ['a b', 'a:b', ' both: of them '])
def test_a_path_with_spaces_and_colons(tmp_path, name):
    program = copy_build(tmp_path / name)
    runtime = tmp_path / 'runtime'
    runtime.mkdir()
    result = tine('--verbose', '--', 'env', program=program, env={'XDG_RUNTIME_DIR': str(runtime)})
    assert preloaded(result) == str(program.parent / 'libtine-preload.so')
    assert 'guard: watching env' in result.stderr
    link = environment_of(result)['LD_PRELOAD']
    assert link.startswith(str(runtime)) and not set(' :') & set(link)


def test_installed_and_moved(tmp_path):
    env = {**os.environ, 'DESTDIR': str(tmp_path / 'stage')}
    subprocess.run(['meson', 'install', '-C', BUILD, '--no-rebuild'], check=True, env=env,
                   capture_output=True)
    found = [path for path in (tmp_path / 'stage').rglob('tine') if path.parent.name == 'bin']
    moved = tmp_path / 'moved'
    os.rename(found[0].parent.parent, moved)
    result = tine('--verbose', '--', 'env', program=moved / 'bin' / 'tine')
    assert preloaded(result).startswith(str(moved / 'lib'))
    assert 'guard: watching env' in result.stderr


def test_without_its_library(tmp_path):
    program = tmp_path / 'tine'
    shutil.copy(procs.tine_path(), program)
    result = tine('--', 'sh', '-c', 'exit 4', program=program)
    assert result.returncode == 4
    assert 'running unprotected' in result.stderr and 'libtine-preload.so' in result.stderr
    assert tine('--strict', '--', 'true', program=program).returncode == 111
    assert tine('--check', '--', 'true', program=program).returncode == 111


@pytest.mark.parametrize('keep', [0, 100, 20000])
def test_a_damaged_library(tmp_path, keep):
    program = copy_build(tmp_path / 'copy')
    library = program.parent / 'libtine-preload.so'
    library.write_bytes(library.read_bytes()[:keep])
    result = tine('--', 'sh', '-c', 'exit 4', program=program)
    assert result.returncode == 4
    assert 'warning: running unprotected: %s' % library in result.stderr
    assert tine('--strict', '--', 'true', program=program).returncode == 111


def test_a_squatted_link_directory_is_not_used(tmp_path):
    squatted = tmp_path / 'runtime'
    (squatted / 'tine').mkdir(parents=True)
    (squatted / 'tine').chmod(0o777)
    program = copy_build(tmp_path / 'a b')
    env = environment_of(tine('--', 'env', program=program, env={'XDG_RUNTIME_DIR': str(squatted)}))
    assert not env['LD_PRELOAD'].startswith(str(squatted))
    link = env['LD_PRELOAD']
    os.unlink(link)
    os.rmdir(os.path.dirname(link))


def test_a_directory_of_path_that_may_not_be_searched(tmp_path):
    closed = tmp_path / 'closed'
    closed.mkdir(mode=0)
    result = tine('--', 'no-such-command', env={'PATH': '%s:/usr/bin' % closed})
    assert result.returncode == 127
