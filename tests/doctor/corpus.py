# SPDX-License-Identifier: PostgreSQL
"""Small projects, each with the configuration of an outage, and mended.

A case is (files that both have, broken files, codes, mended files, options). The codes are exactly
those of findings worse than a note; the mended project has none.
"""

URL = 'DATABASE_URL=postgresql://app:hunter2@db.example.org:5433/app?sslmode=require\n'

DB = '''\
    import os
    from sqlalchemy import create_engine
    engine = create_engine(os.environ["DATABASE_URL"], pool_size=4, max_overflow=0,
                           pool_pre_ping=True, pool_recycle=200)
'''
APP = '''\
    from flask import Flask
    from db import engine
    app = Flask(__name__)
'''
FORGET = '''\
    def post_fork(server, worker):
        from db import engine
        engine.dispose(close=False)
'''
CELERY = '''\
    from celery import Celery
    from db import engine
    app = Celery("tasks")

    @app.task
    def job():
        with engine.begin() as conn:
            return conn.execute("select count(*) from t").scalar()
'''

CASES = {
    'gunicorn-preload': (
        {'.env': URL, 'db.py': DB, 'app.py': APP},
        {'Procfile': 'web: gunicorn --preload -w 4 app:app\n'}, {'engine-before-fork'},
        {'Procfile': 'web: gunicorn --preload -w 4 app:app\n', 'gunicorn.conf.py': FORGET}, ()),
    'gunicorn-preload-under-tine': (
        {'.env': URL, 'db.py': DB, 'app.py': APP},
        {'Procfile': 'web: exec gunicorn --preload -w 4 app:app\n'}, {'engine-before-fork'},
        {'Procfile': 'web: exec tine run -- gunicorn --preload -w 4 app:app\n'}, ()),
    'gunicorn-preload-in-its-file': (
        {'.env': URL, 'src/web/__init__.py': '', 'src/web/db.py': DB,
         'src/web/app.py': '    from .db import engine\n    app = object()\n',
         'Dockerfile': 'FROM python\n'
                        'CMD ["gunicorn", "-c", "deploy/gunicorn.py", "web.app:app"]\n'},
        {'deploy/gunicorn.py': 'preload_app = True\nworkers = 2\n'}, {'engine-before-fork'},
        {'deploy/gunicorn.py': 'preload_app = False\nworkers = 2\n'}, ()),
    'pool-made-later': (
        {'.env': URL, 'Procfile': 'web: gunicorn --preload -w 2 app:app\n',
         'app.py': '''
            import os
            from sqlalchemy import create_engine
            def engine():
                return create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)
            app = object()
         '''},
        {}, {'gunicorn-hook-missing'},
        {'gunicorn.conf.py': '''
            def post_fork(server, worker):
                import app
                app.engine().dispose(close=False)
         '''}, ()),
    'celery-module-engine': (
        {'.env': URL, 'db.py': DB, 'Procfile': 'worker: celery -A tasks worker -c 4\n'},
        {'tasks.py': CELERY}, {'celery-hook-missing'},
        {'tasks.py': CELERY + '''
    from celery.signals import worker_process_init

    @worker_process_init.connect
    def forget(**_):
        engine.dispose(close=False)
'''}, ()),
    'celery-threads': (
        {'.env': URL, 'db.py': DB, 'tasks.py': CELERY},
        {'Procfile': 'worker: celery -A tasks worker -c 4\n'}, {'celery-hook-missing'},
        {'Procfile': 'worker: celery -A tasks worker -P threads -c 4\n'}, ()),
    'celery-global-connection': (
        {'.env': URL, 'Procfile': 'worker: celery -A tasks worker -c 4\n'},
        {'tasks.py': '''
            import os
            import psycopg
            from celery import Celery
            app = Celery("tasks")
            conn = psycopg.connect(os.environ["DATABASE_URL"])
         '''}, {'connect-on-import'},
        {'tasks.py': '''
            import os
            import psycopg
            from celery import Celery
            app = Celery("tasks")

            @app.task
            def job():
                with psycopg.connect(os.environ["DATABASE_URL"]) as conn:
                    return conn.execute("select 2 + 2").fetchone()
         '''}, ()),
    'dispose-in-child': (
        {'.env': URL, 'db.py': DB, 'Procfile': 'worker: celery -A tasks worker -c 4\n'},
        {'tasks.py': CELERY + '''
    from celery.signals import worker_process_init

    def reset_pools():
        engine.dispose()

    @worker_process_init.connect(weak=False)
    def init(**_):
        reset_pools()
'''}, {'dispose-closes-parent'},
        {'tasks.py': CELERY + '''
    from celery.signals import worker_process_init

    def reset_pools():
        engine.dispose(close=False)

    @worker_process_init.connect(weak=False)
    def init(**_):
        reset_pools()
'''}, ()),
    'dispose-in-child-under-tine': (
        {'.env': URL, 'db.py': DB, 'app.py': APP, 'gunicorn.conf.py': FORGET.replace('close=False',
                                                                                   '')},
        {'Procfile': 'web: gunicorn --preload -w 4 app:app\n'}, {'dispose-closes-parent'},
        {'Procfile': 'web: tine run -q -- gunicorn --preload -w 4 app:app\n'}, ()),
    'at-fork-dispose': (
        {'.env': URL},
        {'scheduler.py': DB + '    os.register_at_fork(after_in_child=engine.dispose)\n'},
        {'dispose-closes-parent'},
        {'scheduler.py': DB + '    import functools\n    os.register_at_fork(after_in_child='
                              'functools.partial(engine.dispose, close=False))\n'}, ()),
    'uwsgi-without-lazy-apps': (
        {'.env': URL, 'db.py': DB, 'app.py': APP},
        {'uwsgi.ini': '[uwsgi]\nmodule = app:app\nmaster = true\nprocesses = 4\n'},
        {'engine-before-fork'},
        {'uwsgi.ini': '[uwsgi]\nmodule = app:app\nmaster = true\nprocesses = 4\n'
                      'lazy-apps = true\n'}, ()),
    'reflect-at-import': (
        {'.env': URL, 'uwsgi.ini': '[uwsgi]\nmodule = app:app\nmaster = 1\nworkers = 2\n'},
        {'app.py': '''
            import os
            from flask import Flask
            from flask_sqlalchemy import SQLAlchemy
            app = Flask(__name__)
            app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
            app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_pre_ping": True}
            db = SQLAlchemy(app)
            with app.app_context():
                db.reflect()
         '''}, {'engine-before-fork', 'connect-on-import'},
        {'app.py': '''
            import os
            from flask import Flask
            from flask_sqlalchemy import SQLAlchemy
            from uwsgidecorators import postfork
            app = Flask(__name__)
            app.config.update(SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"],
                              SQLALCHEMY_ENGINE_OPTIONS={"pool_pre_ping": True})
            db = SQLAlchemy(app)

            @postfork
            def forget():
                with app.app_context():
                    db.engine.dispose(close=False)
         '''}, ()),
    'django-query-in-ready': (
        {'manage.py': '', 'Procfile': 'web: gunicorn --preload -w 3 site.wsgi\n',
         'site/wsgi.py': 'from django.core.wsgi import get_wsgi_application\n',
         'site/settings.py': '''
            DATABASES = {"default": {
                "ENGINE": "django.db.backends.postgresql", "HOST": "db.example.org",
                "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True,
                "OPTIONS": {"sslmode": "verify-full"}}}
         '''},
        {'shop/apps.py': '''
            from django.apps import AppConfig
            class ShopConfig(AppConfig):
                def ready(self):
                    from .models import Setting
                    Setting.objects.get(name="theme")
         '''}, {'connect-on-import'},
        {'shop/apps.py': '''
            from django.apps import AppConfig
            class ShopConfig(AppConfig):
                def ready(self):
                    from . import signals
         '''}, ()),
    'psycopg-pool-preload': (
        {'Procfile': 'web: gunicorn --preload -w 2 app:app\n'},
        {'app.py': '''
            from psycopg_pool import ConnectionPool
            pool = ConnectionPool("host=db.example.org sslmode=require", max_size=4,
                                  check=ConnectionPool.check_connection)
            app = object()
         '''}, {'engine-before-fork', 'connect-on-import'},
        {'app.py': '''
            from psycopg_pool import ConnectionPool
            pool = ConnectionPool("host=db.example.org sslmode=require", max_size=4, open=False,
                                  check=ConnectionPool.check_connection)
            app = object()
         ''', 'gunicorn.conf.py': '''
            from app import pool
            def post_fork(server, worker):
                pool.open()
         '''}, ()),
    'multiprocessing': (
        {'.env': URL, 'db.py': DB},
        {'load.py': '''
            import multiprocessing
            from db import engine
            def work(n):
                with engine.begin() as conn:
                    conn.execute("insert into t values (1)")
            if __name__ == "__main__":
                with multiprocessing.Pool(8) as pool:
                    pool.map(work, range(10))
         '''}, {'process-inherits-pool'},
        {'load.py': '''
            import multiprocessing
            from db import engine
            def work(n):
                with engine.begin() as conn:
                    conn.execute("insert into t values (1)")
            def start():
                engine.dispose(close=False)
            if __name__ == "__main__":
                with multiprocessing.Pool(8, initializer=start) as pool:
                    pool.map(work, range(10))
         '''}, ()),
    'overlap-of-a-deploy': (
        {'.env': URL, 'db.py': DB, 'app.py': APP},
        {'compose.yaml': '''
            services:
              api:
                image: app
                command: gunicorn -w 4 app:app
                deploy:
                  replicas: 10
         '''}, {'reload-above-limit'},
        {'compose.yaml': '''
            services:
              api:
                image: app
                command: gunicorn -w 2 app:app
                deploy:
                  replicas: 10
         '''}, ('--budget', '237')),
    'workers-times-pool': (
        {'.env': URL, 'main.py': 'from db import engine\napp = object()\n'},
        {'Procfile': 'web: gunicorn -k uvicorn.workers.UvicornWorker -w 96 main:app\n',
         'db.py': '''
            import os
            from sqlalchemy.ext.asyncio import create_async_engine
            engine = create_async_engine(os.getenv("DATABASE_URL"), pool_pre_ping=True,
                                         pool_size=10, max_overflow=5)
         '''}, {'ceiling-above-limit'},
        {'Procfile': 'web: gunicorn -k uvicorn.workers.UvicornWorker -w 4 main:app\n',
         'db.py': '''
            import os
            from sqlalchemy.ext.asyncio import create_async_engine
            engine = create_async_engine(os.getenv("DATABASE_URL"), pool_pre_ping=True,
                                         pool_size=5, max_overflow=5)
         '''}, ('--budget', '97')),
    'idle-limit-of-a-gateway': (
        {'.env': URL, 'app.py': APP},
        {'db.py': DB.replace('=200', '=1800')}, {'age-above-idle-limit'},
        {'db.py': DB.replace('=200', '=300')}, ('--idle-limit', '350')),
    'keepalive-thread': (
        {'.env': URL, 'db.py': DB},
        {'app.py': APP + '''
    import threading
    import time
    from sqlalchemy import text

    def keep_alive():
        while True:
            with engine.connect() as conn:
                conn.execute(text("SELECT 1"))
            time.sleep(30)

    threading.Thread(target=keep_alive, daemon=True).start()
'''}, {'keepalive-thread'},
        {'app.py': APP}, ()),
    'warm-up': (
        {'.env': URL, 'db.py': DB, 'Procfile': 'web: gunicorn -w 2 app:app\n'},
        {'app.py': APP + '''
    from sqlalchemy import text

    def warm_up():
        with engine.connect() as conn:
            conn.execute(text("SELECT 1"))

    warm_up()
'''}, {'warm-up-query', 'connect-on-import'},
        {'app.py': APP + '''
    from sqlalchemy import text

    @app.route("/health/db")
    def health():
        with engine.connect() as conn:
            conn.execute(text("SELECT 1"))
        return "ok"
'''}, ()),
    'second-engine-in-a-script': (
        {'.env': URL, 'db.py': DB, 'app.py': APP},
        {'scripts/report.py': '''
            import os
            from sqlalchemy import create_engine
            engine = create_engine(os.environ["DATABASE_URL"])
         '''}, {'second-engine'},
        {'scripts/report.py': 'from db import engine\n'}, ()),
    'no-pre-ping-no-tls': (
        {'app.py': APP},
        {'db.py': '''
            from sqlalchemy import create_engine
            engine = create_engine("postgresql+psycopg2://app@db.example.org/app")
         '''}, {'no-pre-ping', 'no-sslmode'},
        {'db.py': '''
            from sqlalchemy import create_engine
            OPTIONS = {"pool_pre_ping": True, "connect_args": {"sslmode": "verify-full"}}
            engine = create_engine("postgresql+psycopg2://app@db.example.org/app", **OPTIONS)
         '''}, ()),
}
