# SPDX-License-Identifier: PostgreSQL
"""A Django application in one file. It looks into its database when it is imported, so that workers
inherit a connection; max_age is CONN_MAX_AGE: 0 is a connection for each request.
"""
import json
import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import JsonResponse
from django.urls import path

with open(os.environ['APP_CONFIG'], encoding='utf-8') as config_file:
    CONFIG = json.load(config_file)

PARAMS = dict(CONFIG['params'])

settings.configure(
    ALLOWED_HOSTS=['*'], ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(16).hex(), USE_TZ=True,
    DATABASES={'default': {
        'ENGINE': 'django.db.backends.postgresql', 'CONN_MAX_AGE': CONFIG['max_age'],
        'NAME': PARAMS.pop('dbname'), 'USER': PARAMS.pop('user'), 'HOST': PARAMS.pop('host'),
        'PASSWORD': PARAMS.pop('password'), 'PORT': PARAMS.pop('port'), 'OPTIONS': PARAMS}})
django.setup()

ECHO = 'select cast(%s as text), pg_backend_pid() from pg_sleep(0.002)'


def ask(nonce):
    with connection.cursor() as cursor:
        cursor.execute(ECHO, [nonce])
        return cursor.fetchone()


def echo(request):
    reply = {'worker': os.getpid()}
    try:
        reply['nonce'], reply['backend'] = ask(request.GET['nonce'])
    except Exception as error:
        reply['error'] = '%s: %s' % (type(error).__name__, str(error).split('\n', maxsplit=1)[0])
    return JsonResponse(reply)


urlpatterns = [path('', echo)]
with open(CONFIG['witness'] + '.pids', 'w', encoding='utf-8') as pids_file:
    json.dump([ask('at import')[1]], pids_file)
application = get_wsgi_application()
