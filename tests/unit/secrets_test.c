/* SPDX-License-Identifier: PostgreSQL */
/*
 * Errors in what a pool connects to: libpq's words reach the program, passwords do not. The real
 * libpq; explicit_bzero() is this program's own, for libpq too.
 */
#include "support/conninfo.h"

#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>

/* What was erased with "sesame" in it. */
static int erased;

static void erase(void *memory, size_t size)
{
	erased += memmem(memory, size, "sesame", 6) != NULL;
	memset(memory, 0, size);
	__asm__ volatile("" : : "r"(memory) : "memory");
}

void explicit_bzero(void *memory, size_t size)
{
	/* The compiler knows that this function does not read. */
	__asm__ volatile("" : "+r"(memory) : : "memory");
	erase(memory, size);
}

/* The same where the compiler is told to check sizes. */
void __explicit_bzero_chk(void *memory, size_t size, size_t room);

void __explicit_bzero_chk(void *memory, size_t size, size_t room)
{
	(void)room;
	erase(memory, size);
}

/* ---- errors and secrets --------------------------------------------------------------------- */

TEST(passes_on_what_libpq_says)
{
	begin();
	setenv("PGSERVICEFILE", "/nonexistent", 1);
	refuses("service=nowhere", "service file \"/nonexistent\" not found");
	refuses("host=a sslmod=require", "conninfo: invalid connection option \"sslmod\"");
	refuses("postgresql://h/d?sslmod=require", "invalid URI query parameter: \"sslmod\"");
	refuses("host=a sslmode=yes", "invalid sslmode value: \"yes\"");
	refuses("host=a gssencmode=yes", "invalid gssencmode value: \"yes\"");
	refuses("host=a ssl_min_protocol_version=9",
		"invalid ssl_min_protocol_version value: \"9\"");
	refuses("host='a", "unterminated quoted string");
	setenv("PGSSLMODE", "yes", 1);
	refuses("host=a", "invalid sslmode value: \"yes\"");
}

static const char *const with_secrets[] = {
	"password=open sesame",
	"password=open sesame host=a",
	"password=\"sesame\" x",
	"password=a \"=\" sesame",
	"host=a password='sesame",
	"password=sesame sslmode=sesame",
	"password=sesame target_session_attrs=any sslmode=a-sesame-b",
	"sslpassword=sesame gssencmode=sesame",
	"postgresql://u:sesame%zz@h/d",
	"postgresql://u:sesame%00@h/d",
	"postgresql://u:=\"sesame%zz@h/d",
	"postgresql://u:sesame@[::1/d",
	"postgresql://u:sesame@[]/d",
	"postgresql://u:sesame@[::1]x/d",
	"postgresql://u:pa/ss?sesame=x@h/d",
	"postgresql://u:pa/ss?sesame@h/d",
	"postgresql://u:pa/ss?x=sesame=y@h/d",
	"postgresql://u@h/d?password=sesame%zz",
	"postgresql://u@h/d?password=sesame=x",
	"postgresql://u:sesame@h:5432:x/d?y",
	"jdbc:postgresql://h/d?user=u&password=sesame",
	"sesame",
};

static void check_secrets(void)
{
	for (size_t i = 0; i < sizeof(with_secrets) / sizeof(with_secrets[0]); i++) {
		CHECK_INT(make(with_secrets[i]), ==, TINE_E_INVALID);
		if (strstr(error.text, "sesame"))
			printf("# %s\n", with_secrets[i]);
		CHECK(!strstr(error.text, "sesame"));
		CHECK_INT(strlen(error.text), >, 20);
	}
}

TEST(no_error_holds_a_password)
{
	begin();
	check_secrets();
	refuses("password=sesame sslmode=xsesamex", "invalid sslmode value: \"x***x\"");
}

TEST(the_password_file_is_not_looked_at)
{
	char path[] = "/tmp/tine-passfile-XXXXXX", said[256];
	int fd = mkstemp(path), out[2];
	ssize_t got;

	begin();
	CHECK(fd >= 0 && fchmod(fd, 0666) == 0);
	setenv("PGPASSFILE", path, 1);
	CHECK(pipe(out) == 0 && dup2(out[1], STDERR_FILENO) >= 0);
	CHECK_INT(make("host=a"), ==, 0);
	unlink(path);
	CHECK(fcntl(out[0], F_SETFL, O_NONBLOCK) == 0);
	got = read(out[0], said, sizeof(said));
	CHECK_INT(got, <, 0);
	for (int i = 0; i < info.count; i++)
		CHECK(strcmp(info.keywords[i], "password") != 0);
}

TEST(no_error_holds_a_password_in_another_language)
{
	begin();
	setenv("LC_ALL", "C.UTF-8", 1);
	setenv("LANGUAGE", "de", 1);
	setlocale(LC_ALL, "");
	check_secrets();
}

TEST(passwords_are_erased)
{
	int before;

	begin();
	setenv("PGPASSWORD", "sesame of the environment", 1);
	CHECK_INT(make("host=a password=sesame"), ==, 0);
	/* The copy of conninfo, what libpq made of it, what it told twice; and what libpq erases.
	 */
	CHECK_INT(erased, >=, 4);
	before = erased;
	tine_conninfo_done(&info);
	CHECK_INT(erased, ==, before + 1);
	CHECK(!info.keywords && !info.values && !info.hosts && info.count == 0);
	tine_conninfo_done(&info);
	before = erased;
	CHECK_INT(make("host=a password=sesame sslmode=bad"), ==, TINE_E_INVALID);
	CHECK_INT(erased, >=, before + 3);
}

static PGconn *no_connection(const char *const *keywords, const char *const *values, int expand)
{
	(void)keywords;
	(void)values;
	(void)expand;
	return NULL;
}

static PQconninfoOption *no_options(const char *conninfo, char **message)
{
	(void)conninfo;
	*message = NULL;
	return NULL;
}

static PQconninfoOption *no_values(PGconn *pg)
{
	(void)pg;
	return NULL;
}

TEST(libpq_without_memory)
{
	struct tine_pq pq = tine_pq_linked;

	begin();
	pq.connect_start_params = no_connection;
	CHECK_INT(make_with(&pq, "host=a"), ==, TINE_E_NOMEM);
	pq = tine_pq_linked;
	pq.conninfo_parse = no_options;
	CHECK_INT(make_with(&pq, "host=a"), ==, TINE_E_NOMEM);
	pq = tine_pq_linked;
	pq.conninfo = no_values;
	CHECK_INT(make_with(&pq, "host=a"), ==, TINE_E_NOMEM);
}

CHECK_TABLE(T(passes_on_what_libpq_says), T(no_error_holds_a_password),
	    T(the_password_file_is_not_looked_at), T(no_error_holds_a_password_in_another_language),
	    T(passwords_are_erased), T(libpq_without_memory))
