/* SPDX-License-Identifier: PostgreSQL */
/*
 * The codes of the examination "database"; see code.h. Constant data.
 */
#include "doctor/code.h"

#include <stddef.h>

/* A step that went as it should. */
#define FINE(name)                                                                                 \
	{                                                                                          \
		.code = (name), .grade = TINE_GRADE_OK, .why = "", .change = "",                   \
	}

const struct tine_code tine_codes_database[] = {
	FINE("name-resolved"),
	{
		.code = "name-slow",
		.grade = TINE_GRADE_NOTE,
		.why = "Every new connection waits for it, and so does whoever waits for the "
		       "connection.",
		.change = "Put a resolver that remembers answers on this machine, or look for one "
			  "in /etc/resolv.conf that does not answer.",
	},
	{
		.code = "name-unresolved",
		.grade = TINE_GRADE_HAZARD,
		.why = "Without an address there is no connection.",
		.change = "Check the name, and the name servers of this machine.",
	},
	FINE("address-connected"),
	{
		.code = "address-unreachable",
		.grade = TINE_GRADE_WARNING,
		.why = "A program tries the addresses one after the other, and each that swallows "
		       "packets costs its whole connect_timeout.",
		.change = "Take the address out of the name's records, or let the server listen "
			  "there; set connect_timeout.",
	},
	{
		.code = "host-unreachable",
		.grade = TINE_GRADE_HAZARD,
		.why = "Nothing can be asked of a host that cannot be reached.",
		.change = "See whether the server runs, and check host, port, firewalls and "
			  "security groups.",
	},
	{
		.code = "no-answer",
		.grade = TINE_GRADE_HAZARD,
		.why = "The connection is accepted, and then nothing PostgreSQL says comes: a "
		       "load balancer without a server behind it, a stopped server, or a server "
		       "of something else.",
		.change = "Look at what is in front of the server, and whether the server itself "
			  "runs.",
	},
	{
		.code = "not-postgres",
		.grade = TINE_GRADE_HAZARD,
		.why = "What answers there speaks another protocol.",
		.change = "Check host and port.",
	},
	FINE("tls-established"),
	{
		.code = "tls-refused",
		.grade = TINE_GRADE_WARNING,
		.why = "Whatever goes over the network can be read and changed on the way, the "
		       "login included.",
		.change = "On the server set ssl = on, with ssl_cert_file and ssl_key_file; on "
			  "clients sslmode=verify-full.",
	},
	{
		.code = "tls-failed",
		.grade = TINE_GRADE_HAZARD,
		.why = "The server offers TLS, and no session can be made by it.",
		.change = "Check the server's certificate and key, and what is between it and "
			  "here.",
	},
	{
		.code = "tls-old",
		.grade = TINE_GRADE_WARNING,
		.why = "TLS before 1.2 has known weaknesses, and libpq 13 and later refuse it.",
		.change = "On the server set ssl_min_protocol_version = 'TLSv1.2'.",
	},
	{
		.code = "certificate-expired",
		.grade = TINE_GRADE_HAZARD,
		.why = "Clients that check the certificate refuse the server; those that do not "
		       "cannot tell it from another.",
		.change = "Renew the certificate and reload the server (pg_ctl reload).",
	},
	{
		.code = "certificate-expiring",
		.grade = TINE_GRADE_WARNING,
		.why = "Clients that check it will be refused from that day on, all at once.",
		.change = "Renew the certificate and reload the server (pg_ctl reload).",
	},
	{
		.code = "certificate-name",
		.grade = TINE_GRADE_WARNING,
		.why = "With sslmode=verify-full no connection is made; with less any server with "
		       "a certificate of the same authority could stand in.",
		.change = "Connect by a name that the certificate has, or have one issued with "
			  "this name in it.",
	},
	{
		.code = "certificate-untrusted",
		.grade = TINE_GRADE_WARNING,
		.why = "Nobody this machine trusts says that the server is who it says it is.",
		.change = "Name the file of the authority that issued it: sslrootcert=FILE, and "
			  "sslmode=verify-full.",
	},
	FINE("sslmode-effects"),
	{
		.code = "sslmode-weak",
		.grade = TINE_GRADE_WARNING,
		.why = "Whoever is on the way can answer that there is no TLS, and gets "
		       "everything in clear text.",
		.change = "Ask for TLS, and check the server.",
	},
	{
		.code = "sslmode-unchecked",
		.grade = TINE_GRADE_NOTE,
		.why = "It is encrypted, but the server may be anybody: who is on the way can be "
		       "it.",
		.change = "Check the certificate too, with the file of the authority that issued "
			  "it.",
	},
	{
		.code = "clear-text-accepted",
		.grade = TINE_GRADE_NOTE,
		.why = "A client that does not ask for TLS gets in without it, and nobody "
		       "notices.",
		.change = "In pg_hba.conf write hostssl in place of host.",
	},
	FINE("authentication"),
	{
		.code = "authentication-md5",
		.grade = TINE_GRADE_WARNING,
		.why = "The hashes that the server keeps are as good as the password to whoever "
		       "copies them, and PostgreSQL will do without MD5.",
		.change = "Set password_encryption = 'scram-sha-256', set the password again, and "
			  "write scram-sha-256 in pg_hba.conf.",
	},
	{
		.code = "authentication-password",
		.grade = TINE_GRADE_WARNING,
		.why = "The password itself is sent: whoever stands in for the server, or reads "
		       "the connection, has it.",
		.change = "Write scram-sha-256 in pg_hba.conf.",
	},
	{
		.code = "authentication-trust",
		.grade = TINE_GRADE_HAZARD,
		.why = "Whoever can reach the port is let in as any user that the rule covers, "
		       "without a password.",
		.change = "Write scram-sha-256 in place of trust in pg_hba.conf.",
	},
	FINE("login"),
	{
		.code = "login-slow",
		.grade = TINE_GRADE_NOTE,
		.why = "Without a pool every request pays that; with one, every request that "
		       "finds the pool too small.",
		.change = "Keep connections in a pool; see whether the server looks up names "
			  "(log_hostname) or asks another service (LDAP, RADIUS).",
	},
	{
		.code = "login-failed",
		.grade = TINE_GRADE_HAZARD,
		.why = "No program gets in with these settings.",
		.change = "See what the server says.",
	},
	FINE("round-trip"),
	{
		.code = "round-trip-slow",
		.grade = TINE_GRADE_NOTE,
		.why = "Every statement costs that much before the server does anything, and "
		       "holds its connection for it.",
		.change = "Move the program nearer to the server, or do more with each statement.",
	},
	{
		.code = "round-trip-uneven",
		.grade = TINE_GRADE_NOTE,
		.why = "One statement in a hundred waits far longer than the others: packets are "
		       "lost, or somebody is overloaded.",
		.change = "Look at retransmissions (nstat TcpRetransSegs) and at the load of the "
			  "server and of the pooler.",
	},
	FINE("server"),
	{
		.code = "server-unsupported",
		.grade = TINE_GRADE_WARNING,
		.why = "Known flaws of this version are not mended any more.",
		.change = "Upgrade to a version that is kept up; see "
			  "www.postgresql.org/support/versioning.",
	},
	FINE("connections"),
	{
		.code = "connections-low",
		.grade = TINE_GRADE_WARNING,
		.why = "When none is left every new connection fails with 53300, and a deployment "
		       "that overlaps needs twice as many.",
		.change = "Use fewer processes or smaller pools, or a pooler, before raising the "
			  "limit: a database is busiest at about 2 x cores + disks connections; "
			  "threads x (connections each holds at once - 1) + 1 is the least that "
			  "cannot deadlock.",
	},
	{
		.code = "connections-exhausted",
		.grade = TINE_GRADE_HAZARD,
		.why = "Every new connection fails with 53300, also those of whoever wants to "
		       "mend it.",
		.change = "See who holds them: select usename, application_name, count(*) from "
			  "pg_stat_activity group by 1, 2 order by 3 desc. Then use fewer "
			  "processes or smaller pools.",
	},
	{
		.code = "budget-above-limit",
		.grade = TINE_GRADE_WARNING,
		.why = "The program plans with connections that the server does not give.",
		.change = "Lower processes x (pool size + overflow), twice that while a "
			  "deployment overlaps, or raise the limit.",
	},
	{
		.code = "idle-transactions",
		.grade = TINE_GRADE_WARNING,
		.why = "Each keeps its locks and a connection, and keeps vacuum from cleaning up, "
		       "while nobody does anything.",
		.change = "Find the code that does not commit; set "
			  "idle_in_transaction_session_timeout for the role.",
	},
	FINE("role"),
	FINE("role-other"),
	{
		.code = "standby",
		.grade = TINE_GRADE_NOTE,
		.why = "Nothing can be written there, and what is read may be some time old.",
		.change = "For writing set target_session_attrs=read-write and name all hosts.",
	},
	{
		.code = "read-only",
		.grade = TINE_GRADE_WARNING,
		.why = "Every write fails with 25006, while a check by SELECT 1 says that all is "
		       "well.",
		.change = "See who set default_transaction_read_only: the server, the database, "
			  "the role, or the options of the connection string.",
	},
	{
		.code = "role-unsuitable",
		.grade = TINE_GRADE_HAZARD,
		.why = "No host is what target_session_attrs asks for, so no connection is made.",
		.change = "Name all hosts, see which one is the primary, or ask for less.",
	},
	{
		.code = "roles-mixed",
		.grade = TINE_GRADE_WARNING,
		.why = "A program gets the first host that answers: after a failover that is a "
		       "standby, and every write fails with 25006.",
		.change = "Say what is needed: target_session_attrs=read-write, or prefer-standby "
			  "for reading.",
	},
	{
		.code = "several-primaries",
		.grade = TINE_GRADE_HAZARD,
		.why = "Both take writes that the other does not have: after a failover the old "
		       "primary was not stopped.",
		.change = "Stop the one that should not be, before it takes more writes.",
	},
	FINE("timeouts"),
	{
		.code = "idle-session-timeout",
		.grade = TINE_GRADE_WARNING,
		.why = "A pool keeps connections idle, and hands out one that the server has "
		       "closed meanwhile.",
		.change = "Replace connections before that, and ask before use.",
	},
	{
		.code = "idle-transaction-timeout",
		.grade = TINE_GRADE_NOTE,
		.why = "A session that waits in a transaction for longer than that, for another "
		       "service perhaps, is ended.",
		.change = "Do nothing slow between the first statement and the commit.",
	},
	{
		.code = "statement-timeout",
		.grade = TINE_GRADE_NOTE,
		.why = "A statement that takes longer is cancelled (57014).",
		.change = "Give long work, such as migrations and reports, a value of its own: "
			  "SET LOCAL statement_timeout.",
	},
	{
		.code = "transaction-timeout",
		.grade = TINE_GRADE_NOTE,
		.why = "A transaction that takes longer ends the session.",
		.change = "Give long work a value of its own.",
	},
	{
		.code = "server-keepalives-late",
		.grade = TINE_GRADE_NOTE,
		.why = "When a client vanishes without a word, its session with its locks stays "
		       "for that long.",
		.change = "On the server set tcp_keepalives_idle = 60, tcp_keepalives_interval = "
			  "10, tcp_keepalives_count = 6.",
	},
	{
		.code = "keepalives-late",
		.grade = TINE_GRADE_WARNING,
		.why = "Routers and load balancers forget a silent connection after minutes (some "
		       "after 60 s, many after 240 or 350 s) and tell nobody.",
		.change = "Ask sooner, in the connection string.",
	},
	{
		.code = "send-timeout-missing",
		.grade = TINE_GRADE_NOTE,
		.why = "A query sent to a server that vanished waits for about 15 minutes, until "
		       "the system gives up.",
		.change = "Limit it, in the connection string.",
	},
	{
		.code = "connect-timeout-missing",
		.grade = TINE_GRADE_NOTE,
		.why = "A host that swallows packets is waited for about two minutes, for each of "
		       "its addresses.",
		.change = "Limit it, in the connection string.",
	},
	FINE("pooler-none"),
	{
		.code = "pooler",
		.grade = TINE_GRADE_NOTE,
		.why = "A pooler has limits of its own: clients, time to wait for a server, idle "
		       "time.",
		.change = "Count connections at the pooler as well as at the server.",
	},
	{
		.code = "pooler-transaction",
		.grade = TINE_GRADE_WARNING,
		.why = "The session changes hands at every commit: SET, LISTEN, advisory locks, "
		       "temporary tables and, before PgBouncer 1.21, prepared statements get lost "
		       "or reach somebody else.",
		.change = "Use a pooler in session mode for such programs, or turn them off: for "
			  "psycopg prepare_threshold=None, for asyncpg statement_cache_size=0.",
	},
	{
		.code = "pooler-statement",
		.grade = TINE_GRADE_WARNING,
		.why = "The session changes hands at every statement, and transactions are "
		       "refused.",
		.change = "Use session or transaction mode, unless every statement stands alone.",
	},
	{
		.code = "pooler-idle-timeout",
		.grade = TINE_GRADE_WARNING,
		.why = "A pool keeps connections idle, and hands out one that the pooler has "
		       "closed meanwhile.",
		.change = "Set client_idle_timeout = 0 in the pooler, or replace connections "
			  "before that.",
	},
	FINE("idle-survived"),
	{
		.code = "idle-dropped",
		.grade = TINE_GRADE_WARNING,
		.why = "A pool keeps connections idle for longer than that, and hands out one "
		       "that is closed.",
		.change = "Replace connections before that, and ask before use.",
	},
	{
		.code = "idle-dropped-silently",
		.grade = TINE_GRADE_HAZARD,
		.why = "Nobody is told: the next statement is sent into the void, and waits until "
		       "a timeout of the system, after minutes.",
		.change = "Replace connections before that, and keep the network from forgetting "
			  "them.",
	},
	{
		.code = "question-unanswered",
		.grade = TINE_GRADE_WARNING,
		.why = "What is not known could not be graded; a server of PostgreSQL answers "
		       "these questions.",
		.change = "See what the server says.",
	},
	{ .code = NULL },
};
