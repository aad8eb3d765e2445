# SPDX-License-Identifier: PostgreSQL
"""Hooks: which of them mend an inherited pool, which do not, and which do harm."""
import pytest

from corpus import APP, CELERY, DB, URL
from linttools import lint

PRELOAD = {'.env': URL, 'db.py': DB, 'app.py': APP,
           'Procfile': 'web: gunicorn --preload -w 2 app:app\n'}

CHECKOUT = '''
    from sqlalchemy import event, exc

    @event.listens_for(engine, "checkout")
    def checkout(connection, record, proxy):
        if %s:
            raise exc.DisconnectionError()
'''

GOOD = {
    'post_worker_init': {'gunicorn.conf.py': 'def post_worker_init(worker):\n    import db\n'
                                             '    db.engine.dispose(close=False)\n'},
    'closed before the fork': {'gunicorn.conf.py': 'from db import engine\n'
                                                   'def pre_fork(server, worker):\n'
                                                   '    engine.dispose()\n'},
    'made in the child': {'db.py': DB + '\ndef make():\n    global engine\n'
                                        '    engine = create_engine(os.environ["DATABASE_URL"],'
                                        ' pool_pre_ping=True, pool_recycle=200)\n',
                          'gunicorn.conf.py': 'import db\ndef post_fork(server, worker):\n'
                                              '    db.make()\n'},
    'at fork': {'db.py': DB + '    os.register_at_fork(after_in_child=lambda:'
                              ' engine.dispose(close=False))\n'},
    'pids are compared': {'db.py': DB + CHECKOUT % 'record.info["pid"] != os.getpid()'},
}
NO_HELP = {
    'a hook of the master': {'gunicorn.conf.py': 'def when_ready(server):\n    pass\n'},
    'a hook that does something else': {'gunicorn.conf.py': 'def post_fork(server, worker):\n'
                                                            '    server.log.info("here")\n'},
    'another event': {'db.py': DB + CHECKOUT % 'record.info["age"] > 60'},
    'a function that nobody calls': {'db.py': DB + '\ndef post_fork(server, worker):\n'
                                                   '    engine.dispose(close=False)\n'},
}


def shifted(files):
    """DB is indented by four, what is added to it is not."""
    return {name: text.replace(DB, DB.replace('\n    ', '\n')[4:]) if '\ndef ' in text else text
            for name, text in files.items()}


@pytest.mark.parametrize('name', sorted(GOOD))
def test_good_hooks(name, tmp_path):
    report = lint(tmp_path, {**PRELOAD, **shifted(GOOD[name])})
    assert report.codes() == set()
    assert 'file-not-read' not in report.codes('note')


@pytest.mark.parametrize('name', sorted(NO_HELP))
def test_hooks_that_do_not_help(name, tmp_path):
    report = lint(tmp_path, {**PRELOAD, **shifted(NO_HELP[name])})
    assert report.codes() == {'engine-before-fork'}
    assert 'file-not-read' not in report.codes('note')


@pytest.mark.parametrize('call', ['engine.dispose()', 'engine.dispose(True)',
                                  'engine.dispose(close=True)', 'CONN.close()',
                                  'connections.close_all()'])
def test_hooks_that_close(call, tmp_path):
    files = {**PRELOAD, 'gunicorn.conf.py': '''
        import os
        import psycopg2
        from django.db import connections
        from db import engine

        def connection():
            return psycopg2.connect(os.environ["DATABASE_URL"])

        CONN = connection()

        def post_fork(server, worker):
            engine.dispose(close=False)
            %s
    ''' % call}
    report = lint(tmp_path, files)
    found = report.of('dispose-closes-parent')
    assert found['grade'] == 'hazard' and found['where'] == 'gunicorn.conf.py:14'
    # Without --preload nothing is inherited.
    report = lint(tmp_path, {'Procfile': 'web: gunicorn -w 2 app:app\n'})
    assert 'dispose-closes-parent' not in report.codes()


@pytest.mark.parametrize('mended, text', [
    (True, 'engine.dispose(close=False)'), (True, 'engine.dispose(False)'), (False, 'pass')])
def test_initializers_of_process_pools(mended, text, tmp_path):
    report = lint(tmp_path, {'.env': URL, 'db.py': DB, 'job.py': '''
        from concurrent.futures import ProcessPoolExecutor
        from db import engine
        def start():
            %s
        def main():
            with ProcessPoolExecutor(initializer=start) as pool:
                pool.map(print, [1])
    ''' % text})
    assert report.codes() == (set() if mended else {'process-inherits-pool'})


def test_children_that_are_spawned_inherit_nothing(tmp_path):
    job = '''
        import multiprocessing
        from db import engine
        if __name__ == "__main__":
            %s
            multiprocessing.Process(target=print).start()
    '''
    files = {'.env': URL, 'db.py': DB, 'job.py': job % 'pass'}
    assert lint(tmp_path, files).codes() == {'process-inherits-pool'}
    files['job.py'] = job % 'multiprocessing.set_start_method("spawn")'
    assert lint(tmp_path, files).codes() == set()


def test_pids_compared_at_checkout_serve_all_children(tmp_path):
    report = lint(tmp_path, {
        '.env': URL, 'db.py': DB + CHECKOUT % 'record.info["pid"] != os.getpid()',
        'job.py': 'import os\nfrom db import engine\nif os.fork() == 0:\n    pass\n'})
    assert report.codes() == set()


def test_a_connection_in_a_hook_of_the_master(tmp_path):
    forget = '''
    from celery.signals import worker_init, worker_process_init
    @worker_process_init.connect
    def forget(**_):
        engine.dispose(close=False)
    @worker_init.connect
    def start(**_):
        %s
'''
    files = {'.env': URL, 'db.py': DB, 'Procfile': 'w: celery -A tasks worker -c 2\n'}
    report = lint(tmp_path, {**files, 'tasks.py': CELERY + forget % 'engine.connect()'})
    assert report.codes() == {'connect-on-import'}
    assert 'hook of the master' in report.of('connect-on-import')['seen']
    assert lint(tmp_path, {'tasks.py': CELERY + forget % 'pass'}).codes() == set()
