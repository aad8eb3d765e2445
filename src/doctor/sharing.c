/* SPDX-License-Identifier: PostgreSQL */
/*
 * Who opened a connection, and what it means that others hold it.
 *
 * The kernel keeps neither the opener nor the age of a socket. What there is: parents, start times
 * in hundredths of a second, the place of the stack, which copies of a program have in common, and
 * where the server runs on this machine the start of the process that serves the connection.
 *
 * Owns nothing. Locks: none. Fork: nothing to do.
 */
#include <fcntl.h>
#include <time.h>

#include "base/cleanup.h"
#include "doctor/scene.h"

#define YOUNG_S 2.0 /* a process that may be on its way to exec */
#define SECOND_LOOK_NS 150000000
#define LOOKED_AT_MAX 2000 /* shared connections whose use is asked for: nobody reads of more */
#define MARGIN_S 0.05      /* of times that were taken one after the other */

bool tine_process_is_copy(const struct tine_process *a, const struct tine_process *b)
{
	return !a->stack || !b->stack || a->stack == b->stack;
}

/* ---- the opener ----------------------------------------------------------------------------- */

/* A process that started after the connection was made cannot have opened it. */
static bool may_have_opened(const struct tine_scene *scene,
			    const struct tine_connection *connection,
			    const struct tine_process *process)
{
	return connection->age_s < 0 || tine_process_age_s(&scene->procs, process) >=
						connection->age_s - connection->age_margin_s;
}

static const struct tine_process *oldest(const struct tine_scene *scene,
					 const struct tine_connection *connection)
{
	const struct tine_process *found = NULL;

	for (size_t i = 0; i < connection->holds_count; i++) {
		const struct tine_process *process =
			tine_scene_holder(scene, &connection->holds[i]);

		if (may_have_opened(scene, connection, process) &&
		    (!found || process->start_ticks < found->start_ticks))
			found = process;
	}
	return found;
}

static bool is_ancestor_of_all(const struct tine_scene *scene,
			       const struct tine_connection *connection,
			       const struct tine_process *process)
{
	for (size_t i = 0; i < connection->holds_count; i++) {
		const struct tine_process *other = tine_scene_holder(scene, &connection->holds[i]);

		if (other != process && !tine_procs_is_ancestor(&scene->procs, process, other))
			return false;
	}
	return true;
}

/* Several processes, none of which comes from another: are they what an opener left behind? A
 * daemon that forked twice looks the same, but leads its own process group, or that leader lives.
 */
static bool are_left_behind(const struct tine_scene *scene, const struct tine_process *process)
{
	const struct tine_process *parent = tine_procs_find(&scene->procs, process->parent);

	if (parent && parent->stack && parent->stack == process->stack)
		return true;
	return process->group != process->pid && !tine_procs_find(&scene->procs, process->group);
}

static const struct tine_process *find_opener(const struct tine_scene *scene,
					      const struct tine_connection *connection)
{
	const struct tine_process *process = oldest(scene, connection);

	if (!process || is_ancestor_of_all(scene, connection, process))
		return process;
	/* One that is clearly older than the connection is nobody's copy in this. */
	if (connection->age_s >= 0 &&
	    tine_process_age_s(&scene->procs, process) > connection->age_s + MARGIN_S)
		return process;
	return are_left_behind(scene, process) ? NULL : process;
}

/* ---- use ------------------------------------------------------------------------------------ */

static const struct tine_namespace *namespace_of(const struct tine_scene *scene, uint64_t id)
{
	for (size_t i = 0; i < scene->namespaces_count; i++)
		if (scene->namespaces[i].id == id)
			return &scene->namespaces[i];
	return NULL;
}

/* When something was last sent or received. */
static double last_used_s(const struct tine_scene *scene, const struct tine_connection *connection)
{
	const struct tine_socket *socket = connection->socket;
	const struct tine_namespace *namespace = namespace_of(scene, socket->netns);
	cleanup_(tine_closep) int fd = -1;
	struct tine_traffic traffic;

	double used_s;

	if (connection->backend.known && connection->backend.used_s >= 0)
		return connection->backend.used_s;
	if (socket->family == AF_UNIX || !namespace || !scene->own_netns)
		return -1;
	if (socket->netns != scene->own_netns) {
		fd = tine_process_open(&scene->procs, namespace->process, "ns/net");
		if (fd < 0)
			return -1;
	}
	if (tine_sockets_traffic(socket, fd, &traffic) < 0 || traffic.sent_ms == UINT32_MAX)
		return -1;
	used_s = (traffic.sent_ms < traffic.received_ms ? traffic.sent_ms : traffic.received_ms) /
		 1000.0;
	/* All ages are those at the time of the reading. */
	used_s -= tine_procs_elapsed_s(&scene->procs);
	return used_s > 0 ? used_s : 0;
}

/* The age of the first copy of the opener that inherited it; negative: there is none. */
static double shared_for_s(const struct tine_scene *scene, const struct tine_connection *connection)
{
	double age = -1;

	for (size_t i = 0; i < connection->holds_count; i++) {
		const struct tine_process *process =
			tine_scene_holder(scene, &connection->holds[i]);
		double process_age = tine_process_age_s(&scene->procs, process);

		if (process != connection->opener && process_age > age &&
		    tine_process_is_copy(connection->opener, process))
			age = process_age;
	}
	return age;
}

/* ---- judgement ------------------------------------------------------------------------------ */

void tine_connection_judge(struct tine_scene *scene, struct tine_connection *connection)
{
	double shared_s;

	connection->opener = find_opener(scene, connection);
	connection->sharing = TINE_SHARING_NONE;
	if (!connection->opener) {
		connection->sharing = TINE_SHARING_ORPHANED;
		return;
	}
	if (tine_connection_holders(connection) < 2)
		return;
	connection->sharing = TINE_SHARING_PROGRAM;
	shared_s = shared_for_s(scene, connection);
	if (shared_s < 0)
		return;
	if (scene->looked_at < LOOKED_AT_MAX) {
		scene->looked_at++;
		connection->used_s = last_used_s(scene, connection);
		connection->seen = tine_activity_find(scene, connection);
	}
	if (connection->seen ||
	    (connection->used_s >= 0 && connection->used_s < shared_s - MARGIN_S))
		connection->sharing = TINE_SHARING_ACTIVE;
	else
		connection->sharing = TINE_SHARING_LATENT;
}

/* The age of the process that serves it is that of the connection; a pooler's says nothing. */
static void find_age(const struct tine_scene *scene, struct tine_connection *connection)
{
	if (connection->server && tine_process_is_backend(scene, connection->server))
		connection->age_s = tine_process_age_s(&scene->procs, connection->server);
}

static bool has_young_holder(const struct tine_scene *scene,
			     const struct tine_connection *connection)
{
	for (size_t i = 0; i < connection->holds_count; i++)
		if (tine_process_age_s(&scene->procs,
				       tine_scene_holder(scene, &connection->holds[i])) < YOUNG_S)
			return true;
	return false;
}

/* Leave out who has let go of it meanwhile. */
static void look_again(const struct tine_scene *scene, struct tine_connection *connection)
{
	size_t kept = 0;

	for (size_t i = 0; i < connection->holds_count; i++) {
		const struct tine_hold *hold = &connection->holds[i];

		if (tine_process_holds(&scene->procs, tine_scene_holder(scene, hold), hold->fd,
				       hold->inode))
			connection->holds[kept++] = *hold;
	}
	connection->holds_count = kept;
}

static bool is_worth_a_second_look(const struct tine_scene *scene,
				   const struct tine_connection *connection)
{
	return tine_connection_holders(connection) > 1 && has_young_holder(scene, connection);
}

void tine_scene_judge(struct tine_scene *scene)
{
	const struct timespec pause = { .tv_nsec = SECOND_LOOK_NS };
	bool again = false;
	size_t kept = 0;

	for (size_t i = 0; i < scene->connections_count && !again; i++)
		again = is_worth_a_second_look(scene, &scene->connections[i]);
	if (again)
		nanosleep(&pause, NULL);
	for (size_t i = 0; i < scene->connections_count; i++) {
		struct tine_connection *connection = &scene->connections[i];

		if (again && is_worth_a_second_look(scene, connection))
			look_again(scene, connection);
		if (!connection->holds_count)
			continue;
		find_age(scene, connection);
		tine_connection_judge(scene, connection);
		scene->connections[kept++] = *connection;
	}
	scene->connections_count = kept;
}
