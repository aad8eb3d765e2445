/* SPDX-License-Identifier: PostgreSQL */
/*
 * Grades of the examination of a database for what a test cannot easily have: hosts on a network,
 * times of a minute and more, versions of other years.
 */
#include <jansson.h>

#include "doctor/database.h"
#include "doctor/findings.h"
#include "doctor/report.h"
#include "support/check.h"

#define DAY_S (24 * 60 * 60)

struct scene {
	struct tine_doctor_options options;
	struct tine_database database;
	struct tine_examined host;
	struct tine_server server;
};

/* A host on a network, nothing wrong with it. */
static void scene_init(struct scene *scene, const char *conninfo)
{
	tine_error error;

	memset(scene, 0, sizeof(*scene));
	scene->database.report = tine_report_new();
	scene->database.options = &scene->options;
	scene->database.now = 1764000000; /* in November 2025 */
	CHECK_INT(tine_dsn_read(&scene->database.dsn, conninfo, &error), ==, 0);
	scene->database.sslmode = tine_dsn_value(&scene->database.dsn, "sslmode");
	scene->database.hosts = &scene->host;
	scene->database.host_count = 1;
	scene->host.host = &scene->database.dsn.hosts[0];
	scene->host.facts = json_object();
	strcpy(scene->host.label, "db.example.org:5432");
	scene->host.tls = (struct tine_tls_seen){
		.answer = 'S', .is_up = true, .version = "TLSv1.3", .cipher = "AES", .root = "/ca"
	};
	scene->host.tls.certificate = (struct tine_certificate){
		.begins = scene->database.now - DAY_S,
		.ends = scene->database.now + 90 * DAY_S,
		.has_name = true,
	};
	scene->server = (struct tine_server){
		.version = "17.1",
		.major = 17,
		.max_connections = 100,
		.reserved = 3,
		.role_limit = -1,
		.database_limit = -1,
		.used = 10,
	};
}

static void scene_done(struct scene *scene)
{
	json_decref(scene->host.facts);
	tine_report_free(scene->database.report);
	tine_dsn_done(&scene->database.dsn);
}

/* The grade of the finding of a code, -1 when there is none. */
static int grade(const struct scene *scene, const char *code)
{
	for (const struct tine_finding *finding = scene->database.report->first; finding;
	     finding = finding->next)
		if (strcmp(finding->code->code, code) == 0)
			return (int)finding->grade;
	return -1;
}

static int tls_grade(const char *conninfo, const char *code, void (*change)(struct scene *))
{
	struct scene scene;
	int found;

	scene_init(&scene, conninfo);
	if (change)
		change(&scene);
	tine_grade_tls(&scene.database, &scene.host);
	found = grade(&scene, code);
	scene_done(&scene);
	return found;
}

/* ---- what protects -------------------------------------------------------------------------- */

static void be_local(struct scene *scene)
{
	scene->host.is_local = true;
}

static void have_no_tls(struct scene *scene)
{
	scene->host.tls = (struct tine_tls_seen){ .answer = 'N' };
}

TEST(sslmode_matters_more_on_a_network)
{
	CHECK_INT(tls_grade("host=h sslmode=prefer", "sslmode-weak", NULL), ==, TINE_GRADE_WARNING);
	CHECK_INT(tls_grade("host=h sslmode=prefer", "sslmode-weak", be_local), ==,
		  TINE_GRADE_NOTE);
	CHECK_INT(tls_grade("host=h sslmode=require", "sslmode-weak", NULL), ==, -1);
	CHECK_INT(tls_grade("host=h sslmode=prefer", "tls-refused", have_no_tls), ==,
		  TINE_GRADE_WARNING);
	CHECK_INT(tls_grade("host=h sslmode=require", "tls-refused", have_no_tls), ==,
		  TINE_GRADE_HAZARD);
	CHECK_INT(tls_grade("host=h sslmode=require", "tls-refused", NULL), ==, -1);
}

static void begin_tomorrow(struct scene *scene)
{
	scene->host.tls.certificate.begins = scene->database.now + DAY_S;
}

static void end_in_two_weeks(struct scene *scene)
{
	scene->host.tls.certificate.ends = scene->database.now + 14 * DAY_S;
}

static void end_a_bit_sooner(struct scene *scene)
{
	scene->host.tls.certificate.ends = scene->database.now + 14 * DAY_S - 1;
}

TEST(dates_of_a_certificate)
{
	CHECK_INT(tls_grade("sslmode=verify-full", "certificate-expired", begin_tomorrow), ==,
		  TINE_GRADE_HAZARD);
	CHECK_INT(tls_grade("sslmode=require", "certificate-expired", begin_tomorrow), ==,
		  TINE_GRADE_WARNING);
	CHECK_INT(tls_grade("sslmode=verify-full", "certificate-expired", NULL), ==, -1);
	CHECK_INT(tls_grade("sslmode=require", "certificate-expiring", end_in_two_weeks), ==, -1);
	CHECK_INT(tls_grade("sslmode=require", "certificate-expiring", end_a_bit_sooner), ==,
		  TINE_GRADE_WARNING);
}

static int login_grade(unsigned method, bool is_encrypted, bool is_local, const char *code)
{
	struct scene scene;
	int found;

	scene_init(&scene, "host=h");
	scene.host.is_local = is_local;
	scene.host.is_greeting_encrypted = is_encrypted;
	scene.host.greeting = (struct tine_greeting){ .kind = 'R', .method = method };
	tine_grade_authentication(&scene.database, &scene.host);
	found = grade(&scene, code);
	scene_done(&scene);
	return found;
}

TEST(ways_of_logging_in)
{
	CHECK_INT(login_grade(0, true, false, "authentication-trust"), ==, TINE_GRADE_HAZARD);
	CHECK_INT(login_grade(0, true, true, "authentication-trust"), ==, TINE_GRADE_WARNING);
	CHECK_INT(login_grade(3, false, false, "authentication-password"), ==, TINE_GRADE_HAZARD);
	CHECK_INT(login_grade(3, true, false, "authentication-password"), ==, TINE_GRADE_WARNING);
	CHECK_INT(login_grade(5, true, false, "authentication-md5"), ==, TINE_GRADE_WARNING);
	CHECK_INT(login_grade(10, false, false, "authentication"), ==, TINE_GRADE_OK);
}

/* ---- speed ---------------------------------------------------------------------------------- */

static int speed_grade(int64_t login_us, int64_t p50_us, int64_t p99_us, const char *code)
{
	struct scene scene;
	int found;

	scene_init(&scene, "host=h");
	scene.host.login_us = login_us;
	scene.host.p50_us = p50_us;
	scene.host.p99_us = p99_us;
	tine_grade_speed(&scene.database, &scene.host);
	found = grade(&scene, code);
	scene_done(&scene);
	return found;
}

static int name_grade(int64_t us, const char *code)
{
	struct scene scene;
	int found;

	scene_init(&scene, "host=h");
	tine_grade_lookup(&scene.database, &scene.host, 1, us);
	found = grade(&scene, code);
	scene_done(&scene);
	return found;
}

TEST(slow_names)
{
	CHECK_INT(name_grade(500000, "name-resolved"), ==, TINE_GRADE_OK);
	CHECK_INT(name_grade(500001, "name-slow"), ==, TINE_GRADE_NOTE);
}

TEST(slow_logins_and_round_trips)
{
	CHECK_INT(speed_grade(1000000, 1000, 2000, "login"), ==, TINE_GRADE_OK);
	CHECK_INT(speed_grade(1000001, 1000, 2000, "login-slow"), ==, TINE_GRADE_NOTE);
	CHECK_INT(speed_grade(1, 10000, 20000, "round-trip"), ==, TINE_GRADE_OK);
	CHECK_INT(speed_grade(1, 10001, 20000, "round-trip-slow"), ==, TINE_GRADE_NOTE);
	CHECK_INT(speed_grade(1, 1000, 51000, "round-trip"), ==, TINE_GRADE_OK);
	CHECK_INT(speed_grade(1, 1000, 51001, "round-trip-uneven"), ==, TINE_GRADE_NOTE);
}

static int client_grade(const char *conninfo, const char *code)
{
	struct scene scene;
	int found;

	scene_init(&scene, conninfo);
	tine_grade_client_settings(&scene.database, &scene.host);
	found = grade(&scene, code);
	scene_done(&scene);
	return found;
}

TEST(keepalives_matter_on_a_network)
{
	CHECK_INT(client_grade("host=h keepalives=0", "keepalives-late"), ==, TINE_GRADE_WARNING);
	CHECK_INT(client_grade("host=h keepalives_idle=241", "keepalives-late"), ==,
		  TINE_GRADE_WARNING);
	CHECK_INT(client_grade("host=h keepalives_idle=240", "keepalives-late"), ==, -1);
	CHECK_INT(client_grade("host=/tmp", "keepalives-late"), ==, -1);
	CHECK_INT(client_grade("host=/tmp", "connect-timeout-missing"), ==, -1);
}

/* ---- the server ----------------------------------------------------------------------------- */

static int limit_grade(const struct tine_server *server, int budget, const char *code)
{
	struct scene scene;
	int found;

	scene_init(&scene, "host=h");
	scene.options.budget = budget;
	tine_grade_limits(&scene.database, "db", server);
	found = grade(&scene, code);
	scene_done(&scene);
	return found;
}

TEST(connections_that_are_left)
{
	struct tine_server server = {
		.max_connections = 103, .reserved = 3, .role_limit = -1, .database_limit = -1
	};

	server.used = 90;
	CHECK_INT(limit_grade(&server, 0, "connections"), ==, TINE_GRADE_OK);
	server.used = 91;
	CHECK_INT(limit_grade(&server, 0, "connections-low"), ==, TINE_GRADE_WARNING);
	server.used = 97;
	CHECK_INT(limit_grade(&server, 0, "connections-low"), ==, TINE_GRADE_HAZARD);
	server.used = 200;
	CHECK_INT(tine_server_free(&server), ==, 0);
	server.is_superuser = true;
	server.used = 100;
	server.role_limit = 1;
	CHECK_INT(tine_server_free(&server), ==, 3);
	server.is_superuser = false;
	server.used = 10;
	CHECK_INT(tine_server_free(&server), ==, 1);
	CHECK_INT(limit_grade(&server, 1, "budget-above-limit"), ==, -1);
	CHECK_INT(limit_grade(&server, 2, "budget-above-limit"), ==, TINE_GRADE_WARNING);
}

TEST(sessions_idle_in_transactions)
{
	struct tine_server server = {
		.max_connections = 100, .role_limit = -1, .database_limit = -1, .used = 1
	};

	CHECK_INT(limit_grade(&server, 0, "idle-transactions"), ==, -1);
	server.idle_in_transaction = 1;
	server.idle_in_transaction_s = 61;
	CHECK_INT(limit_grade(&server, 0, "idle-transactions"), ==, TINE_GRADE_WARNING);
}

static int version_grade(int major, time_t now, const char *code)
{
	struct scene scene;
	int found;

	scene_init(&scene, "host=h");
	scene.database.now = now;
	scene.server.major = major;
	tine_grade_version(&scene.database, "db", &scene.server);
	found = grade(&scene, code);
	scene_done(&scene);
	return found;
}

static time_t day(int year, int month, int number)
{
	struct tm parts = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = number };

	return timegm(&parts);
}

TEST(versions_that_are_kept_up)
{
	CHECK_INT(version_grade(15, day(2027, 11, 7), "server"), ==, TINE_GRADE_OK);
	CHECK_INT(version_grade(15, day(2027, 11, 20), "server-unsupported"), ==,
		  TINE_GRADE_WARNING);
	CHECK_INT(version_grade(15, day(2028, 2, 1), "server-unsupported"), ==, TINE_GRADE_WARNING);
	CHECK_INT(version_grade(9, day(2020, 1, 1), "server-unsupported"), ==, TINE_GRADE_WARNING);
	CHECK_INT(version_grade(17, day(2026, 11, 21), "server"), ==, TINE_GRADE_OK);
	CHECK_INT(version_grade(0, day(2026, 11, 21), "server-unsupported"), ==, -1);
}

TEST(transactions_that_are_cut)
{
	struct scene scene;

	scene_init(&scene, "host=h");
	scene.server.transaction_ms = 1000;
	tine_grade_timeouts(&scene.database, "db", &scene.server);
	CHECK_INT(grade(&scene, "transaction-timeout"), ==, TINE_GRADE_NOTE);
	CHECK_INT(grade(&scene, "timeouts"), ==, -1);
	scene_done(&scene);
}

/* ---- connection strings --------------------------------------------------------------------- */

TEST(hosts_of_a_connection_string)
{
	struct tine_dsn dsn;
	tine_error error;

	CHECK_INT(tine_dsn_read(&dsn, "postgresql+asyncpg://u:p@a,b:2,[::1]:3/d", &error), ==, 0);
	CHECK_INT(dsn.host_count, ==, 3);
	CHECK_STR(dsn.hosts[0].host, "a");
	CHECK_STR(dsn.hosts[0].port, "5432");
	CHECK_STR(dsn.hosts[1].port, "2");
	CHECK_STR(dsn.hosts[2].host, "::1");
	tine_dsn_done(&dsn);
	CHECK_INT(tine_dsn_read(&dsn, "host=a,b hostaddr=127.0.0.1,127.0.0.2 port=7", &error), ==,
		  0);
	CHECK_STR(dsn.hosts[1].host, "b");
	CHECK_STR(dsn.hosts[1].hostaddr, "127.0.0.2");
	CHECK_STR(dsn.hosts[1].port, "7");
	tine_dsn_done(&dsn);
	CHECK_INT(tine_dsn_read(&dsn, "host=/tmp", &error), ==, 0);
	CHECK(dsn.hosts[0].is_socket);
	tine_dsn_done(&dsn);
	CHECK_INT(tine_dsn_read(&dsn, "", &error), ==, 0);
	CHECK(*dsn.hosts[0].host);
	tine_dsn_done(&dsn);
}

static void check_url(const char *url, const char *keyword, const char *value)
{
	struct tine_dsn dsn;
	tine_error error;

	CHECK_INT(tine_dsn_read(&dsn, url, &error), ==, 0);
	CHECK_STR(tine_dsn_value(&dsn, keyword), value);
	tine_dsn_done(&dsn);
}

TEST(what_only_a_driver_knows)
{
	tine_error error;
	struct tine_dsn dsn;

	check_url("postgresql+asyncpg://h/d?ssl=verify-full&x=1", "sslmode", "verify-full");
	check_url("postgresql+asyncpg://h/d?async_fallback=true&timeout=7", "connect_timeout", "7");
	check_url("postgresql+psycopg2://h/d?a&sslmode=require&=&b=", "sslmode", "require");
	check_url("postgresql+psycopg2://h/d?", "dbname", "d");
	check_url("postgresql+pg8000://u:a+b@h/d?ssl=allow&ssl=allow&ssl=require", "sslmode",
		  "require");
	/* libpq has no word in another's URL, but in its own it does */
	CHECK(tine_dsn_read(&dsn, "postgresql://h/d?async_fallback=true", &error) < 0);
}

TEST(secrets_of_a_connection_string)
{
	char text[] = "geheim is geheim", name[] = "user app";
	struct tine_dsn dsn;
	tine_error error;

	CHECK_INT(tine_dsn_read(&dsn, "user=u password=geheim", &error), ==, 0);
	tine_dsn_hide(&dsn, text);
	CHECK_STR(text, "*** is ***");
	tine_dsn_done(&dsn);
	CHECK_INT(tine_dsn_read(&dsn, "user=app password=app", &error), ==, 0);
	tine_dsn_hide(&dsn, name);
	CHECK_STR(name, "user app");
	tine_dsn_done(&dsn);
	CHECK(tine_dsn_read(&dsn, "host=h geheim", &error) < 0);
	CHECK(!strstr(error.text, "geheim"));
}

/* ---- sslmode -------------------------------------------------------------------------------- */

TEST(effects_of_sslmodes)
{
	struct scene scene;
	char text[256];

	scene_init(&scene, "host=h");
	tine_tls_effect(&scene.host.tls, "verify-full", 0, scene.database.now, text, sizeof(text));
	CHECK_STR(text, "encrypted, server checked");
	tine_tls_effect(&scene.host.tls, "disable", 0, scene.database.now, text, sizeof(text));
	CHECK_STR(text, "clear text (not tried)");
	tine_tls_effect(&scene.host.tls, "allow", 'E', scene.database.now, text, sizeof(text));
	CHECK_STR(text, "encrypted, server not checked");
	scene.host.tls.certificate.has_name = false;
	tine_tls_effect(&scene.host.tls, "verify-full", 0, scene.database.now, text, sizeof(text));
	CHECK_STR(text, "refused: certificate is for other names");
	scene_done(&scene);
}

CHECK_TABLE(T(sslmode_matters_more_on_a_network), T(dates_of_a_certificate), T(ways_of_logging_in),
	    T(slow_names), T(slow_logins_and_round_trips), T(keepalives_matter_on_a_network),
	    T(connections_that_are_left), T(sessions_idle_in_transactions),
	    T(versions_that_are_kept_up), T(transactions_that_are_cut),
	    T(hosts_of_a_connection_string), T(what_only_a_driver_knows),
	    T(secrets_of_a_connection_string), T(effects_of_sslmodes))
