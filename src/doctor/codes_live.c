/* SPDX-License-Identifier: PostgreSQL */
/*
 * The codes of the examination "live"; see code.h. Constant data.
 */
#include "doctor/code.h"

#include <stddef.h>

#define START_UNDER_TINE                                                                           \
	"Start the program under tine: inherited connections then become dead ends in each "       \
	"child, and its driver opens its own."

const struct tine_code tine_codes_live[] = {
	{
		.code = "shared-connection",
		.grade = TINE_GRADE_HAZARD,
		.why = "The children have the connection in their memory as if it were theirs. The "
		       "first one that uses or closes it breaks the session of the others; without "
		       "TLS, rows of one process reach another without an error.",
		.change = START_UNDER_TINE,
	},
	{
		.code = "shared-connection-active",
		.grade = TINE_GRADE_HAZARD,
		.why = "Two processes on one session: without TLS, rows of one reach the other "
		       "without an error, and statements mix in one transaction; with TLS, the "
		       "session breaks at the next use.",
		.change = START_UNDER_TINE,
	},
	{
		.code = "orphaned-connection",
		.grade = TINE_GRADE_HAZARD,
		.why = "The session lives as long as any process holds its socket: its transaction "
		       "and locks stay, its slot counts, and nobody will ever end it.",
		.change = "End the processes that hold it, or the session with "
			  "pg_terminate_backend(). " START_UNDER_TINE,
	},
	{
		.code = "leaked-connection",
		.grade = TINE_GRADE_WARNING,
		.why = "A program that knows nothing of the connection holds it. It does no harm "
		       "while its opener lives, but then it keeps the session, its transaction and "
		       "its locks.",
		.change = "Start programs with descriptors closed (close_fds in Python, "
			  "FD_CLOEXEC).",
	},
	{
		.code = "master-connection",
		.grade = TINE_GRADE_WARNING,
		.why = "A process that forks has connections open: its next child inherits them.",
		.change = "Connect after the fork only, or start the program under tine.",
	},
	{
		.code = "threads-at-fork",
		.grade = TINE_GRADE_WARNING,
		.why = "A child has one thread, and every lock that another one had at the fork "
		       "stays locked in it: a child can hang in its first TLS handshake. No guard "
		       "can mend that.",
		.change = "Start threads after the fork, or children by exec (Python: the start "
			  "method spawn or forkserver).",
	},
	{
		.code = "guard-not-live",
		.grade = TINE_GRADE_WARNING,
		.why = "tine's library is loaded but watches nothing: the children of this process "
		       "are as unprotected as without it.",
		.change = "Look at what the program said when it started; 'tine run --check' tells "
			  "whether it can be protected.",
	},
	{
		.code = "guard-not-loaded",
		.grade = TINE_GRADE_WARNING,
		.why = "The process was started to be guarded, but the library is not in it: it is "
		       "a static or setuid program, or of another C library.",
		.change = "'tine run --check' with the command says why; --strict refuses to start "
			  "it unprotected.",
	},
	{
		.code = "guard-lost",
		.grade = TINE_GRADE_WARNING,
		.why = "An ancestor is guarded, this process is not: something between them "
		       "cleared the environment (sudo, env -i).",
		.change = "Put 'tine run' behind what clears the environment, or let it keep "
			  "LD_PRELOAD and TINE_*.",
	},
	{
		.code = "library-flaw",
		.grade = TINE_GRADE_WARNING,
		.why = "This version has flaws that a server, or somebody on the way to it, can "
		       "use against the program; later versions are mended.",
		.change = "Install a mended version and restart what has it loaded.",
	},
	{
		.code = "library-unsupported",
		.grade = TINE_GRADE_NOTE,
		.why = "Its project does not mend this version any more.",
		.change = "Move to a supported version, unless your distribution mends it itself.",
	},
	{
		.code = "library-replaced",
		.grade = TINE_GRADE_NOTE,
		.why = "The file was replaced since: the process runs the old one until it is "
		       "restarted, whatever is installed.",
		.change = "Restart the processes.",
	},
	{
		.code = "library-copies",
		.grade = TINE_GRADE_NOTE,
		.why = "Which copy a call reaches depends on who makes it, each has its own locks "
		       "and settings, and two copies of OpenSSL have made programs crash.",
		.change = "Use drivers that are built against the system's library (psycopg2, not "
			  "psycopg2-binary; psycopg[c], not psycopg[binary]).",
	},
	{
		.code = "budget-exceeded",
		.grade = TINE_GRADE_HAZARD,
		.why = "Further connections are refused (\"too many clients\"), to everybody.",
		.change = "Lower pool sizes or workers, or put a pooler in between: workers x "
			  "(pool size + overflow), twice during a rolling restart, has to fit.",
	},
	{
		.code = "budget-near",
		.grade = TINE_GRADE_WARNING,
		.why = "A rolling restart or a burst takes what is left; then connections are "
		       "refused, to everybody.",
		.change = "Lower pool sizes or workers, or put a pooler in between: workers x "
			  "(pool size + overflow), twice during a rolling restart, has to fit.",
	},
	{
		.code = "closed-by-server",
		.grade = TINE_GRADE_NOTE,
		.why = "The server, or something in between, has ended the session; the program "
		       "finds out at its next use, as an error. Under tine run it is opened anew "
		       "there: who has not used it for --lend-after has lent it.",
		.change = "Let the pool test connections (pre-ping) or replace them before the "
			  "limit that ended them.",
	},
	{
		.code = "shared-unknown",
		.grade = TINE_GRADE_NOTE,
		.why = "Sharing breaks other protocols as well. Whether it is PostgreSQL cannot be "
		       "seen from the port.",
		.change = "If it is, name the port with --port and look again.",
	},
	{
		.code = "server-not-asked",
		.grade = TINE_GRADE_WARNING,
		.why = "What the server knows of the connections is missing in this report.",
		.change = "See what 'tine doctor' says of the connection string alone.",
	},
	{
		.code = "backend-not-found",
		.grade = TINE_GRADE_NOTE,
		.why = "There is a pooler or an address translation between, another server is "
		       "meant, or the role may not see the sessions of others.",
		.change = "Give a connection string of the server itself and a role with "
			  "pg_read_all_stats.",
	},
	{
		.code = "not-visible",
		.grade = TINE_GRADE_NOTE,
		.why = "What is not visible can hold connections, too.",
		.change = "Run it as root to see everything.",
	},
	{ .code = NULL },
};
