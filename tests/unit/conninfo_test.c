/* SPDX-License-Identifier: PostgreSQL */
/*
 * What a pool connects to, asked of the real libpq. socket() and getaddrinfo() are this program's
 * own, and nobody but a numeric address may come by.
 */
#include "support/conninfo.h"

#include <dlfcn.h>
#include <netdb.h>
#include <sys/socket.h>

#include "pool/address.h"

static int sockets, lookups;

int socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)type;
	(void)protocol;
	sockets++;
	return errno = EACCES, -1;
}

typedef int (*getaddrinfo_fn)(const char *, const char *, const struct addrinfo *,
			      struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	void *real = dlsym(RTLD_NEXT, "getaddrinfo");

	if (hints->ai_flags & AI_NUMERICHOST)
		return ((getaddrinfo_fn)real)(node, service, hints, ret);
	lookups++;
	return EAI_FAIL;
}

/* The value that an attempt is given, or NULL. */
static const char *param(const char *keyword)
{
	const char *keywords[TINE_CONNINFO_MAX], *values[TINE_CONNINFO_MAX], *found = NULL;
	struct tine_address address = { .host = info.hosts[0].host, .port = info.hosts[0].port };
	int count = tine_conninfo_params(&info, &address, keywords, values);

	CHECK(!keywords[count] && !values[count]);
	for (int i = 0; i < count; i++)
		if (strcmp(keywords[i], keyword) == 0) {
			CHECK(!found);
			found = values[i];
		}
	return found;
}

static bool is_param(const char *keyword, const char *value)
{
	const char *found = param(keyword);

	if (!found || !value)
		return found == value;
	return strcmp(found, value) == 0;
}

static void check_host(int index, const char *host, const char *hostaddr, const char *port)
{
	CHECK_INT(index, <, info.host_count);
	CHECK_STR(info.hosts[index].host, host);
	CHECK_STR(info.hosts[index].hostaddr, hostaddr);
	CHECK_STR(info.hosts[index].port, port);
}

/* ---- forms ---------------------------------------------------------------------------------- */

TEST(reads_keywords)
{
	begin();
	CHECK_INT(make("host=db port=5433 dbname=shop user=clerk password='open sesame' "
		       "options='-c a=b' connect_timeout=3 target_session_attrs=primary"),
		  ==, 0);
	CHECK_INT(info.host_count, ==, 1);
	check_host(0, "db", "", "5433");
	CHECK(is_param("host", "db") && is_param("port", "5433") && is_param("hostaddr", NULL));
	CHECK(is_param("dbname", "shop") && is_param("user", "clerk"));
	CHECK(is_param("password", "open sesame") && is_param("options", "-c a=b"));
	CHECK(is_param("target_session_attrs", NULL) && is_param("connect_timeout", NULL));
	CHECK_INT(info.session_attrs, ==, TINE_ATTRS_PRIMARY);
	CHECK_INT(info.connect_timeout_ms, ==, 3000);
	CHECK(!info.shuffle);
}

TEST(opens_no_socket_and_looks_up_no_name)
{
	begin();
	CHECK_INT(make("host=one.example,two.example user=u password=p sslmode=verify-full"), ==,
		  0);
	CHECK_INT(make("hostaddr=192.0.2.1 user=u"), ==, 0);
	CHECK_INT(make("host=/tmp user=u"), ==, 0);
	setenv("PGHOST", "one.example", 1);
	CHECK_INT(make(""), ==, 0);
	CHECK_INT(sockets, ==, 0);
	CHECK_INT(lookups, ==, 0);
}

TEST(reads_urls)
{
	static const char *const urls[] = {
		"postgresql://clerk:open%20sesame@db:5433/shop",
		"postgres://clerk:open%20sesame@db:5433/shop",
		"postgresql+psycopg2://clerk:open%20sesame@db:5433/shop",
		"postgresql+psycopg://clerk:open%20sesame@db:5433/shop",
		"postgres+asyncpg://clerk:open%20sesame@db:5433/shop",
		"postgresql+psycopg_async://db:5433/shop?user=clerk&password=open%20sesame",
	};

	begin();
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		CHECK_INT(make(urls[i]), ==, 0);
		check_host(0, "db", "", "5433");
		CHECK(is_param("dbname", "shop") && is_param("user", "clerk"));
		CHECK(is_param("password", "open sesame"));
	}
	CHECK_INT(make("postgresql+psycopg2://u@h1:1,h2:2/?sslmode=verify-full"), ==, 0);
	check_host(0, "h1", "", "1");
	check_host(1, "h2", "", "2");
	CHECK(is_param("sslmode", "verify-full"));
}

TEST(other_urls_are_refused_by_name)
{
	begin();
	refuses("mysql+pymysql://u:sesame@h/d", "not with mysql+pymysql://");
	refuses("postgresqls://u:sesame@h/d", "not with postgresqls://");
	refuses("postgresql+://u:sesame@h/d", "not with postgresql+://");
	refuses("http://h/", "postgresql:// or postgres://");
}

TEST(a_database_is_not_read_as_a_conninfo)
{
	begin();
	CHECK_INT(make("host=db dbname='host=elsewhere'"), ==, 0);
	CHECK(is_param("dbname", "host=elsewhere"));
	check_host(0, "db", "", "5432");
}

/* ---- environment and service file ----------------------------------------------------------- */

TEST(nothing_given_is_the_environment)
{
	begin();
	for (int i = 0; i < 2; i++) {
		CHECK_INT(make(i ? "" : NULL), ==, 0);
		check_host(0, "", "", "5432");
		CHECK(is_param("host", NULL) && is_param("port", "5432"));
	}
	setenv("PGHOST", "/run/pg", 1);
	setenv("PGPORT", "6432", 1);
	setenv("PGPASSWORD", "sesame", 1);
	setenv("PGCONNECT_TIMEOUT", "7", 1);
	CHECK_INT(make(NULL), ==, 0);
	check_host(0, "/run/pg", "", "6432");
	/* Left to libpq, which reads it at every connect. */
	CHECK(is_param("password", NULL) && is_param("user", NULL));
	CHECK_INT(info.connect_timeout_ms, ==, 7000);
	setenv("PGHOSTADDR", "192.0.2.5", 1);
	CHECK_INT(make("host=db"), ==, 0);
	check_host(0, "db", "192.0.2.5", "6432");
}

static void write_service(const char *text)
{
	static char path[] = "/tmp/tine-service-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK_INT(write(fd, text, strlen(text)), ==, strlen(text));
	close(fd);
	setenv("PGSERVICEFILE", path, 1);
}

TEST(reads_the_service_file)
{
	begin();
	write_service("[shop]\nhost=h1,h2\nport=1,2\npassword=sesame\nsslmode=verify-ca\n"
		      "application_name=till\nkeepalives_idle=7\ntarget_session_attrs=standby\n"
		      "gssencmode=require\n");
	CHECK_INT(make("service=shop user=u"), ==, 0);
	CHECK_INT(unlink(getenv("PGSERVICEFILE")), ==, 0);
	check_host(0, "h1", "", "1");
	check_host(1, "h2", "", "2");
	CHECK(is_param("service", "shop"));
	CHECK(is_param("password", NULL));
	CHECK(is_param("sslmode", "verify-ca"));
	CHECK(is_param("application_name", NULL) && is_param("fallback_application_name", NULL));
	CHECK(is_param("keepalives_idle", NULL) && is_param("keepalives_interval", "5"));
	CHECK(is_param("gssencmode", NULL));
	CHECK_INT(info.session_attrs, ==, TINE_ATTRS_STANDBY);
}

/* ---- hosts ---------------------------------------------------------------------------------- */

TEST(splits_lists_as_libpq_does)
{
	begin();
	CHECK_INT(make("host=h1,h2,h3 port=1,,3"), ==, 0);
	CHECK_INT(info.host_count, ==, 3);
	check_host(0, "h1", "", "1");
	check_host(1, "h2", "", "5432");
	check_host(2, "h3", "", "3");
	CHECK_INT(make("host=h1,h2 port=7"), ==, 0);
	check_host(1, "h2", "", "7");
	CHECK_INT(make("hostaddr=192.0.2.1,::1,127.1 port=7"), ==, 0);
	CHECK_INT(info.host_count, ==, 3);
	check_host(1, "", "::1", "7");
	CHECK_INT(make("host=a,/tmp hostaddr=192.0.2.1,"), ==, 0);
	check_host(0, "a", "192.0.2.1", "5432");
	check_host(1, "/tmp", "", "5432");
}

TEST(refuses_wrong_hosts)
{
	begin();
	refuses("host=a,b port=1,2,3", "could not match 3 port numbers to 2 hosts");
	refuses("host=a,b hostaddr=192.0.2.1", "could not match 2 host names to 1 hostaddr values");
	refuses("host=a, port=1", "host: one of 2 hosts has no name and no address");
	refuses("host=a port=0", "port: '0' is not a number from 1 to 65535");
	refuses("host=a port=65536", "port: '65536'");
	refuses("host=a port=54x2", "port: '54x2'");
	refuses("host=a,b port=1,x", "port: 'x'");
	refuses("host=a port=99999999999999999999", "port: '99999999999999999999'");
	refuses("hostaddr=db.example.org", "hostaddr: 'db.example.org' is not a numeric address");
	refuses("hostaddr=00000000000000000000000000000000000000000000000000000000000000001.2.3.4",
		"is not a numeric address");
}

/* ---- what the pool decides ------------------------------------------------------------------ */

TEST(reads_session_attrs)
{
	static const char *const names[] = { "any",     "read-write", "read-only",
					     "primary", "standby",    "prefer-standby" };
	char conninfo[80];

	begin();
	CHECK_INT(make("host=a"), ==, 0);
	CHECK_INT(info.session_attrs, ==, TINE_ATTRS_ANY);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(conninfo, sizeof(conninfo), "target_session_attrs=%s", names[i]);
		CHECK_INT(make(conninfo), ==, 0);
		CHECK_INT(info.session_attrs, ==, i);
		setenv("PGTARGETSESSIONATTRS", names[i], 1);
		CHECK_INT(make("host=a"), ==, 0);
		CHECK_INT(info.session_attrs, ==, i);
	}
	CHECK_INT(make("target_session_attrs=any"), ==, 0);
	CHECK_INT(info.session_attrs, ==, TINE_ATTRS_ANY);
	refuses("target_session_attrs=master",
		"target_session_attrs: 'master' is not one of any, read-write, read-only, primary, "
		"standby, prefer-standby");
	setenv("PGTARGETSESSIONATTRS", "master", 1);
	refuses("host=a", "target_session_attrs: 'master'");
}

TEST(reads_connect_timeout)
{
	begin();
	CHECK_INT(make("host=a"), ==, 0);
	CHECK_INT(info.connect_timeout_ms, ==, 0);
	CHECK_INT(make("connect_timeout=0"), ==, 0);
	CHECK_INT(info.connect_timeout_ms, ==, 0);
	CHECK_INT(make("connect_timeout=-1"), ==, 0);
	CHECK_INT(info.connect_timeout_ms, ==, 0);
	CHECK_INT(make("connect_timeout=' 5 '"), ==, 0);
	CHECK_INT(info.connect_timeout_ms, ==, 5000);
	CHECK_INT(make("connect_timeout=2147483647"), ==, 0);
	CHECK_INT(info.connect_timeout_ms, ==, 2147483000);
	refuses("connect_timeout=5s", "connect_timeout: '5s' is not a number of seconds");
}

/* libpq 15 does not know this parameter, so one that nobody uses plays its part. */
static PQconninfoOption *conninfo_16(PGconn *pg)
{
	PQconninfoOption *options = tine_pq_linked.conninfo(pg);

	for (PQconninfoOption *option = options; option && option->keyword; option++) {
		if (strcmp(option->keyword, "load_balance_hosts") == 0)
			option->keyword = (char *)"";
		if (strcmp(option->keyword, "krbsrvname") == 0)
			option->keyword = (char *)"load_balance_hosts";
	}
	return options;
}

TEST(reads_load_balance_hosts)
{
	struct tine_pq pq = tine_pq_linked;

	begin();
	pq.conninfo = conninfo_16;
	CHECK_INT(make_with(&pq, "host=a,b krbsrvname=random"), ==, 0);
	CHECK(info.shuffle);
	CHECK_INT(make_with(&pq, "host=a,b krbsrvname=disable"), ==, 0);
	CHECK(!info.shuffle);
	CHECK_INT(make_with(&pq, "host=a,b krbsrvname=often"), ==, TINE_E_INVALID);
	CHECK_STR(error.text, "load_balance_hosts: 'often' is not one of disable, random");
}

/* ---- TLS ------------------------------------------------------------------------------------ */

static const char *sslmode(int tls, const char *conninfo, const char *variable)
{
	begin();
	config.tls = tls;
	if (variable)
		setenv("PGSSLMODE", variable, 1);
	CHECK_INT(make(conninfo), ==, 0);
	return param("sslmode");
}

TEST(tls_is_required_unless_named)
{
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=a", NULL), "require");
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=/tmp", NULL), "require");
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=a", "prefer"), "prefer");
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=a", "disable"), "disable");
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=a", "verify-full"), "verify-full");
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=a sslmode=prefer", NULL), "prefer");
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=a sslmode=allow", NULL), "allow");
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=a sslmode=verify-ca", "disable"), "verify-ca");
	CHECK_STR(sslmode(TINE_TLS_DEFAULT, "host=a sslmode=''", NULL), "require");
	CHECK_STR(sslmode(TINE_TLS_REQUIRE, "host=a sslmode=disable", "allow"), "require");
	CHECK_STR(sslmode(TINE_TLS_VERIFY_CA, "host=a", NULL), "verify-ca");
	CHECK_STR(sslmode(TINE_TLS_VERIFY_FULL, "host=a sslmode=prefer", NULL), "verify-full");
	CHECK_STR(sslmode(TINE_TLS_PREFER, "host=a sslmode=verify-full", NULL), "prefer");
	CHECK_STR(sslmode(TINE_TLS_DISABLE, "host=a sslmode=verify-full", NULL), "disable");
}

TEST(gss_is_off_unless_named)
{
	begin();
	CHECK_INT(make("host=a"), ==, 0);
	CHECK(is_param("gssencmode", "disable"));
	CHECK_INT(make("host=a gssencmode=prefer"), ==, 0);
	CHECK(is_param("gssencmode", "prefer"));
	setenv("PGGSSENCMODE", "prefer", 1);
	CHECK_INT(make("host=a"), ==, 0);
	CHECK(is_param("gssencmode", NULL));
}

/* ---- TCP and the name ----------------------------------------------------------------------- */

TEST(keepalives_are_on_unless_said)
{
	begin();
	CHECK_INT(make("host=a"), ==, 0);
	CHECK(is_param("keepalives_idle", "20") && is_param("keepalives_interval", "5"));
	CHECK(is_param("keepalives_count", "3") && is_param("tcp_user_timeout", "30000"));
	CHECK_INT(make("host=a keepalives_idle=99 tcp_user_timeout=0 keepalives=0"), ==, 0);
	CHECK(is_param("keepalives_idle", "99") && is_param("tcp_user_timeout", "0"));
	CHECK(is_param("keepalives", "0") && is_param("keepalives_count", "3"));
	config.keepalives_idle_s = config.keepalives_interval_s = config.keepalives_count = 0;
	config.tcp_user_timeout_ms = 0;
	CHECK_INT(make("host=a"), ==, 0);
	CHECK(is_param("keepalives_idle", NULL) && is_param("keepalives_interval", NULL));
	CHECK(is_param("keepalives_count", NULL) && is_param("tcp_user_timeout", NULL));
}

/* A process may call itself whatever it likes; the server would tell that it cuts it. */
TEST(a_name_is_not_too_long)
{
	char *name = program_invocation_short_name;
	char title[] = "worker: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789";

	begin();
	program_invocation_short_name = title;
	CHECK_INT(make("host=a"), ==, 0);
	program_invocation_short_name = name;
	title[63] = '\0';
	CHECK(is_param("fallback_application_name", title));
}

TEST(the_application_has_a_name)
{
	begin();
	CHECK_INT(make("host=a"), ==, 0);
	CHECK(is_param("application_name", NULL));
	CHECK(is_param("fallback_application_name", program_invocation_short_name));
	CHECK_INT(make("host=a application_name=till"), ==, 0);
	CHECK(is_param("application_name", "till"));
	CHECK(is_param("fallback_application_name", NULL));
	CHECK_INT(make("host=a fallback_application_name=till"), ==, 0);
	CHECK(is_param("fallback_application_name", "till"));
	setenv("PGAPPNAME", "till", 1);
	CHECK_INT(make("host=a"), ==, 0);
	CHECK(is_param("application_name", NULL) && is_param("fallback_application_name", NULL));
	config.application_name = "office";
	CHECK_INT(make("host=a application_name=till"), ==, 0);
	CHECK(is_param("application_name", "office"));
}

CHECK_TABLE(T(reads_keywords), T(opens_no_socket_and_looks_up_no_name), T(reads_urls),
	    T(other_urls_are_refused_by_name), T(a_database_is_not_read_as_a_conninfo),
	    T(nothing_given_is_the_environment), T(reads_the_service_file),
	    T(splits_lists_as_libpq_does), T(refuses_wrong_hosts), T(reads_session_attrs),
	    T(reads_connect_timeout), T(reads_load_balance_hosts), T(tls_is_required_unless_named),
	    T(gss_is_off_unless_named), T(keepalives_are_on_unless_said),
	    T(a_name_is_not_too_long), T(the_application_has_a_name))
