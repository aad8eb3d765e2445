# SPDX-License-Identifier: PostgreSQL
"""What tine promises for the demo's cases, and whether a result kept it."""

from .cases import OPENED_AT_IMPORT, WORKERS

# What libpq says of a connection that is gone, without and with TLS, while sending or receiving.
# Every framework takes these for a lost connection and opens a new one.
CLEAN_LOSS = {
    'server closed the connection unexpectedly',
    'SSL SYSCALL error: EOF detected',
    'SSL connection has been closed unexpectedly',
}

LOSSES_ALLOWED = WORKERS * OPENED_AT_IMPORT


def broken(result):
    """The promises this run under tine did not keep, one text each; empty when all is well."""
    tally, found = result.tally, []
    if tally.correct == 0 or tally.open:
        found.append('%d of %d requests have a correct answer and %d have no outcome'
                     % (tally.correct, tally.sent, tally.open))
    if len(result.workers) < WORKERS:
        found.append('%d of %d workers answered' % (len(result.workers), WORKERS))
    if tally.wrong:
        found.append('wrong rows: %d' % tally.wrong)
    if result.shared:
        found.append('%d server sessions used by two processes' % len(result.shared))
    if len(result.inherited) != OPENED_AT_IMPORT or result.kept != result.inherited:
        found.append("%d of the parent's %d sessions left, of %d expected"
                     % (len(result.kept), len(result.inherited), OPENED_AT_IMPORT))
    if len(result.severed) < WORKERS:
        found.append('%d forks reported for %d workers' % (len(result.severed), WORKERS))
    return found + broken_losses(result)


def broken_losses(result):
    tally = result.tally
    if result.case.run != 'guard' or result.case.pre_ping:
        return ['%d failed requests' % tally.failed] if tally.failed else []
    found = []
    if tally.failed > LOSSES_ALLOWED:
        found.append('%d failed requests, more than %d' % (tally.failed, LOSSES_ALLOWED))
    for text in sorted(set(tally.errors) - CLEAN_LOSS):
        found.append('an error that is no clean loss: %s' % text)
    return found
