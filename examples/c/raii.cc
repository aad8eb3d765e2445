/* SPDX-License-Identifier: PostgreSQL */
/*
 * C++17: handles that go back by themselves, and errors as exceptions. All there is to it is here;
 * take it along.
 *
 *	c++ -std=c++17 raii.cc -o raii $(pkg-config --cflags --libs tine)
 *	DATABASE_URL=postgresql://app:secret@db.example.org/app ./raii
 */
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>

#include <libpq-fe.h>
#include <tine/tine.h>

template <auto function> struct Call {
	template <typename Handle> void operator()(Handle *handle) const
	{
		function(handle);
	}
};

using Pool = std::unique_ptr<tine_pool, Call<tine_pool_free>>;
using Conn = std::unique_ptr<tine_conn, Call<tine_conn_release>>;
using Scope = std::unique_ptr<tine_scope, Call<tine_scope_end>>;
using Result = std::unique_ptr<PGresult, Call<PQclear>>;

class Error : public std::runtime_error
{
      public:
	explicit Error(const tine_error &error)
	    : std::runtime_error(error.text), status(error.status)
	{
	}
	const int status; /* enum tine_status */
};

static Pool make_pool()
{
	tine_pool_config config;
	tine_error error;

	tine_pool_config_init(&config);
	if (tine_pool_config_env(&config, &error) < 0)
		throw Error(error);
	Pool pool(tine_pool_new(&config, &error));
	if (!pool)
		throw Error(error);
	return pool;
}

static Conn acquire(const Pool &pool, int wait_ms = -1)
{
	tine_error error;
	tine_conn *conn;

	if (tine_pool_acquire(pool.get(), wait_ms, &conn, &error) < 0)
		throw Error(error);
	return Conn(conn);
}

static Result query(PGconn *pg, const char *sql)
{
	Result result(PQexec(pg, sql));
	ExecStatusType status = PQresultStatus(result.get());

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		throw std::runtime_error(PQerrorMessage(pg));
	return result;
}

/* A unit of work: committed when it comes to its end, rolled back when anything throws. */
template <typename Work> static void transaction(const Pool &pool, const char *name, Work work)
{
	Scope scope(tine_scope_begin(pool.get(), TINE_SCOPE_REQUEST, name));
	tine_error error;
	PGconn *pg = tine_scope_conn(scope.get(), &error);

	if (!pg)
		throw Error(error);
	work(pg);
	if (tine_scope_commit(scope.get(), &error) < 0)
		throw Error(error);
}

static void work(const Pool &pool)
{
	{
		Conn conn = acquire(pool);
		Result result = query(tine_conn_pg(conn.get()), "select 40 + 2");

		std::printf("the answer is %s\n", PQgetvalue(result.get(), 0, 0));
	}
	try {
		transaction(pool, "division", [](PGconn *pg) { query(pg, "select 1 / 0"); });
	} catch (const std::exception &error) {
		std::printf("rolled back: %s", error.what());
	}
}

int main()
{
	try {
		Pool pool = make_pool();
		tine_pool_stats stats;

		work(pool);
		if (tine_pool_status(pool.get(), &stats) == 0)
			std::printf("in use: %d\n", stats.busy);
		return 0;
	} catch (const Error &error) {
		std::fprintf(stderr, "%s: %s\n", tine_status_name(error.status), error.what());
		return 1;
	}
}
