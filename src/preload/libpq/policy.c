/* SPDX-License-Identifier: PostgreSQL */
#include "preload/libpq/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preload/libpq/budget.h"

static int least_tls; /* rank; 0: none is asked for */
static bool is_named;

/* What the program may have set, and we fill in where it has not. */
enum { IDLE, INTERVAL, COUNT, USER_TIMEOUT, CONNECT_TIMEOUT, NUMBERS };

/* Room is left for ours: these, the encryption and the name. */
#define PARAMETERS_MAX (TINE_PLAN_MAX - NUMBERS - 2)

static const struct {
	const char *keyword, *variable;
} fillable[NUMBERS] = {
	[IDLE] = { "keepalives_idle", NULL },
	[INTERVAL] = { "keepalives_interval", NULL },
	[COUNT] = { "keepalives_count", NULL },
	[USER_TIMEOUT] = { "tcp_user_timeout", NULL },
	[CONNECT_TIMEOUT] = { "connect_timeout", "PGCONNECT_TIMEOUT" },
};

static int numbers[NUMBERS];

bool tine_policy_start(const struct tine_settings *settings, bool has_budget)
{
	static const int ranks[] = { 0, 3, 5 }; /* in the order of the option's choices */
	bool asks = false;

	least_tls = ranks[settings->demand_tls];
	numbers[IDLE] = settings->keepalives_idle_s;
	numbers[INTERVAL] = settings->keepalives_interval_s;
	numbers[COUNT] = settings->keepalives_count;
	numbers[USER_TIMEOUT] = settings->tcp_user_timeout_ms;
	numbers[CONNECT_TIMEOUT] = settings->connect_timeout_s;
	for (int i = 0; i < NUMBERS; i++)
		asks = asks || numbers[i];
	is_named = has_budget && !settings->no_identity;
	return asks || least_tls || is_named;
}

/* ---- what the program asks for -------------------------------------------------------------- */

static const char *find(const PQconninfoOption *options, const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val && *options->val ? options->val : NULL;
	return NULL;
}

/* The first dbname that is a connection string stands for what is in it; what comes later wins. */
static const char *asked(const struct tine_plan *plan, const char *keyword)
{
	const char *value = NULL;
	bool is_expanded = !plan->parsed;

	for (int i = 0; i < plan->count; i++) {
		const char *found = NULL;

		if (!plan->values[i] || !*plan->values[i])
			continue;
		if (!is_expanded && strcmp(plan->keywords[i], "dbname") == 0 &&
		    tine_key_is_conninfo(plan->values[i])) {
			is_expanded = true;
			found = find(plan->parsed, keyword);
		} else if (strcmp(plan->keywords[i], keyword) == 0) {
			found = plan->values[i];
		}
		if (found)
			value = found;
	}
	return value;
}

static const char *asked_or_set(const struct tine_plan *plan, const char *keyword,
				const char *variable)
{
	const char *value = asked(plan, keyword);

	if (!value && variable)
		value = getenv(variable);
	return value && *value ? value : NULL;
}

static bool has_service(const struct tine_plan *plan)
{
	return asked_or_set(plan, "service", "PGSERVICE");
}

static void append(struct tine_plan *plan, const char *keyword, const char *value)
{
	if (plan->count >= TINE_PLAN_MAX)
		return;
	plan->keywords[plan->count] = keyword;
	plan->values[plan->count++] = value;
}

/* ---- what is added -------------------------------------------------------------------------- */

/* What a service says we do not see, and do not overrule. */
static void fill_in(struct tine_plan *plan)
{
	for (int i = 0; i < NUMBERS && !has_service(plan); i++) {
		if (!numbers[i] || asked_or_set(plan, fillable[i].keyword, fillable[i].variable))
			continue;
		snprintf(plan->numbers[i], sizeof(plan->numbers[i]), "%d", numbers[i]);
		append(plan, fillable[i].keyword, plan->numbers[i]);
	}
}

static int rank(const char *mode)
{
	static const char *const modes[] = { "disable", "allow",     "prefer",
					     "require", "verify-ca", "verify-full" };

	for (int i = 0; i < 6; i++)
		if (strcmp(mode, modes[i]) == 0)
			return i;
	return 6; /* libpq will refuse it; or it is newer, and not for us to judge */
}

/* What libpq makes of all that it reads, a service among it: known once a connect has begun. */
static int effective_rank(const struct tine_plan *plan, const struct tine_copy *copy)
{
	PGconn *conn =
		copy->real.PQconnectStartParams(plan->keywords, plan->values, plan->expand_dbname);
	PQconninfoOption *options = conn ? copy->real.PQconninfo(conn) : NULL;
	const char *mode = find(options, "sslmode");
	int found = mode ? rank(mode) : 0;

	copy->real.PQconninfoFree(options);
	copy->real.PQfinish(conn);
	return found;
}

static void demand_tls(struct tine_plan *plan, const struct tine_copy *copy)
{
	const char *mode = asked(plan, "sslmode");
	const char *old = asked_or_set(plan, "requiressl", "PGREQUIRESSL");
	int has = 2;

	/* In libpq's order: a service comes before the environment. */
	if (!mode && has_service(plan))
		has = effective_rank(plan, copy);
	else if (mode || (mode = asked_or_set(plan, "sslmode", "PGSSLMODE")) != NULL)
		has = rank(mode);
	else if (old && *old == '1')
		has = 3;
	if (has < least_tls)
		append(plan, "sslmode", least_tls == 5 ? "verify-full" : "require");
}

static void add_name(struct tine_plan *plan)
{
	const char *name = asked_or_set(plan, "application_name", "PGAPPNAME");

	if (!name && has_service(plan))
		return;
	if (!name)
		name = asked(plan, "fallback_application_name");
	name = tine_budget_identity(name ? name : "", plan->name, sizeof(plan->name));
	if (name == plan->name)
		append(plan, "application_name", name);
}

/* ---- a plan --------------------------------------------------------------------------------- */

static int count_parameters(const struct tine_login *login)
{
	int count = 0;

	while (!login->conninfo && login->keywords[count])
		count++;
	return count;
}

const char *tine_policy_refusal(const struct tine_login *login)
{
	return least_tls && count_parameters(login) > PARAMETERS_MAX
		       ? "--tls cannot be made sure of for a login with so many parameters: have "
			 "the program name each only once"
		       : NULL;
}

static bool copy_login(struct tine_plan *plan, const struct tine_login *login)
{
	if (count_parameters(login) > PARAMETERS_MAX)
		return false;
	if (login->conninfo) {
		plan->expand_dbname = 1;
		if (*login->conninfo)
			append(plan, "dbname", login->conninfo);
		return !*login->conninfo || tine_key_is_conninfo(login->conninfo);
	}
	plan->expand_dbname = login->expand_dbname;
	for (int i = 0; login->keywords[i]; i++)
		append(plan, login->keywords[i], login->values[i]);
	return true;
}

static bool parse(struct tine_plan *plan, const struct tine_copy *copy)
{
	char *error = NULL;

	for (int i = 0; i < plan->count && plan->expand_dbname; i++) {
		if (strcmp(plan->keywords[i], "dbname") != 0 || !plan->values[i] ||
		    !tine_key_is_conninfo(plan->values[i]))
			continue;
		plan->parsed = copy->real.PQconninfoParse(plan->values[i], &error);
		if (error)
			copy->real.PQfreemem(error);
		return plan->parsed;
	}
	return true;
}

bool tine_policy_plan(struct tine_plan *ret, const struct tine_copy *copy,
		      const struct tine_login *login)
{
	memset(ret, 0, sizeof(*ret));
	if (!copy_login(ret, login) || !parse(ret, copy))
		return false;
	fill_in(ret);
	if (least_tls)
		demand_tls(ret, copy);
	if (is_named)
		add_name(ret);
	return true;
}

void tine_policy_end(struct tine_plan *plan, const struct tine_copy *copy)
{
	if (plan->parsed)
		copy->real.PQconninfoFree(plan->parsed);
	plan->parsed = NULL;
}
