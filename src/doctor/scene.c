/* SPDX-License-Identifier: PostgreSQL */
/*
 * Finding the PostgreSQL connections: joining descriptors with sockets and sockets with their other
 * ends. sharing.c judges them.
 *
 * Owns the arrays of struct tine_scene. Locks: none. Fork: nothing to do.
 */
#include "doctor/scene.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/exit.h"

#define ENVIRONMENT_BYTES_MAX (4 << 20)
#define PORTS_OF_PROCESS_MAX 16

static void *need(void *memory)
{
	if (!memory)
		errx(TINE_EXIT_SYSTEM, "doctor: out of memory");
	return memory;
}

/* ---- namespaces ----------------------------------------------------------------------------- */

static uint64_t netns_of(const char *path)
{
	char target[64];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length <= 5)
		return 0;
	target[length] = '\0';
	return strtoull(target + strlen("net:["), NULL, 10);
}

static struct tine_namespace *find_namespace(const struct tine_scene *scene, uint64_t id)
{
	/* Neighbours are mostly in the same one. */
	for (size_t i = scene->namespaces_count; i-- > 0;)
		if (scene->namespaces[i].id == id)
			return &scene->namespaces[i];
	return NULL;
}

static void list_namespaces(struct tine_scene *scene)
{
	for (size_t i = 0; i < scene->procs.count; i++) {
		const struct tine_process *process = &scene->procs.items[i];
		struct tine_namespace *namespace = find_namespace(scene, process->netns);

		if (!process->netns)
			continue;
		if (!namespace) {
			scene->namespaces =
				need(reallocarray(scene->namespaces, scene->namespaces_count + 1,
						  sizeof(*scene->namespaces)));
			namespace = &scene->namespaces[scene->namespaces_count++];
			*namespace =
				(struct tine_namespace){ .id = process->netns, .process = process };
		}
		namespace->in_tree |= process->in_tree;
	}
}

static int ask(struct tine_scene *scene, const struct tine_namespace *namespace)
{
	cleanup_(tine_closep) int fd = -1;

	if (namespace->id == scene->own_netns)
		return tine_sockets_ask(&scene->sockets, namespace->id, -1);
	fd = tine_process_open(&scene->procs, namespace->process, "ns/net");
	return fd < 0 ? fd : tine_sockets_ask(&scene->sockets, namespace->id, fd);
}

/* The kernel is asked where it can be; the files tell less and are slower. */
static enum tine_sight look_into(struct tine_scene *scene, const struct tine_namespace *namespace)
{
	cleanup_(tine_closep) int net = -1;

	if (strcmp(scene->procs.root, "/proc") == 0 && ask(scene, namespace) == 0)
		return TINE_SIGHT_FULL;
	net = tine_process_open(&scene->procs, namespace->process, "net");
	if (net >= 0 && tine_sockets_parse(&scene->sockets, namespace->id, net) == 0)
		return TINE_SIGHT_FILES;
	return tine_process_is_same(&scene->procs, namespace->process) ? TINE_SIGHT_NONE
								       : TINE_SIGHT_GONE;
}

/* Another process of the same namespace, behind the one that has ended; or NULL. */
static const struct tine_process *next_in(const struct tine_scene *scene,
					  const struct tine_namespace *namespace)
{
	for (const struct tine_process *process = namespace->process + 1;
	     process < scene->procs.items + scene->procs.count; process++)
		if (process->netns == namespace->id)
			return process;
	return NULL;
}

static void read_sockets(struct tine_scene *scene)
{
	for (size_t i = 0; i < scene->namespaces_count; i++) {
		struct tine_namespace *namespace = &scene->namespaces[i];
		const struct tine_process *next = namespace->process;

		while (next && namespace->sight == TINE_SIGHT_GONE) {
			namespace->process = next;
			namespace->sight = look_into(scene, namespace);
			next = next_in(scene, namespace);
		}
	}
	tine_sockets_sort(&scene->sockets);
}

/* ---- which are PostgreSQL's ----------------------------------------------------------------- */

static bool is_server(const struct tine_process *process)
{
	static const char *const names[] = { "postgres", "postmaster", "pgbouncer", "odyssey",
					     "pgcat",    "pgpool",     "pgdog" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(process->name, names[i]) == 0)
			return true;
	return false;
}

/* A postmaster's parent is no postgres. */
bool tine_process_is_backend(const struct tine_scene *scene, const struct tine_process *process)
{
	const struct tine_process *parent = tine_procs_find(&scene->procs, process->parent);

	return strcmp(process->name, "postgres") == 0 && parent &&
	       strcmp(parent->name, "postgres") == 0;
}

static const struct tine_process *server_of(const struct tine_scene *scene, uint64_t inode)
{
	size_t count;
	const struct tine_hold *holds = tine_procs_holds(&scene->procs, inode, &count);

	for (size_t i = 0; i < count; i++)
		if (is_server(tine_scene_holder(scene, &holds[i])))
			return tine_scene_holder(scene, &holds[i]);
	return NULL;
}

/* The ports that servers of this machine listen on: by who holds the socket, or, where that may not
 * be seen, by whose it is. */
static void learn_local_servers(struct tine_scene *scene)
{
	const struct passwd *account = getpwnam("postgres");

	for (size_t i = 0; i < scene->sockets.listeners_count; i++) {
		const struct tine_socket *socket = scene->sockets.listeners[i].socket;

		if ((account && account->pw_uid != 0 && socket->user == account->pw_uid) ||
		    server_of(scene, socket->inode))
			tine_ports_add(&scene->ports, socket->local.port);
	}
}

/* What one process's environment and command line say; kept, since its connections are looked at
 * one after the other. */
struct words {
	const struct tine_process *process;
	struct tine_ports ports;
};

static void add_words(struct words *words, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i += strlen(text + i) + 1) {
		tine_ports_add_urls(&words->ports, text + i);
		if (strncmp(text + i, "PGPORT=", 7) == 0)
			tine_ports_add_list(&words->ports, text + i + 7);
	}
}

static bool process_names_port(const struct tine_scene *scene, struct words *words,
			       const struct tine_process *process, uint16_t port)
{
	static const char *const files[] = { "environ", "cmdline" };

	if (words->process != process) {
		words->process = process;
		memset(&words->ports, 0, sizeof(words->ports));
		for (size_t i = 0; i < 2; i++) {
			char *text;
			ssize_t length = tine_process_read(&scene->procs, process, files[i],
							   ENVIRONMENT_BYTES_MAX, &text);

			if (length > 0)
				add_words(words, text, (size_t)length);
			free(text);
		}
	}
	return tine_ports_has(&words->ports, port);
}

static bool is_postgres_tcp(const struct tine_scene *scene, struct words *words,
			    struct tine_connection *connection)
{
	const struct tine_socket *socket = connection->socket;

	if (connection->server || tine_ports_has(&scene->ports, socket->remote.port))
		return true;
	return process_names_port(scene, words, tine_scene_holder(scene, connection->holds),
				  socket->remote.port);
}

/* ---- connections ---------------------------------------------------------------------------- */

const struct tine_process *tine_scene_holder(const struct tine_scene *scene,
					     const struct tine_hold *hold)
{
	return &scene->procs.items[hold->process];
}

size_t tine_connection_holders(const struct tine_connection *connection)
{
	size_t count = 0;

	for (size_t i = 0; i < connection->holds_count; i++)
		count += i == 0 || connection->holds[i].process != connection->holds[i - 1].process;
	return count;
}

static bool has_socket_name(const struct tine_socket *socket)
{
	return socket->name && strstr(socket->name, "/.s.PGSQL.");
}

static bool fill_unix(const struct tine_scene *scene, struct tine_connection *connection)
{
	const struct tine_socket *socket = connection->socket;
	const struct tine_socket *peer = tine_sockets_find(&scene->sockets, socket->peer);

	if (!peer || !has_socket_name(peer) || has_socket_name(socket))
		return false;
	connection->is_postgres = true;
	connection->server = server_of(scene, peer->inode);
	snprintf(connection->endpoint, sizeof(connection->endpoint), "%s", peer->name);
	return true;
}

static bool fill_tcp(const struct tine_scene *scene, struct words *words,
		     struct tine_connection *connection)
{
	const struct tine_socket *socket = connection->socket;
	const struct tine_socket *peer;

	if (socket->state == TCP_LISTEN || tine_sockets_is_accepted(&scene->sockets, socket))
		return false;
	peer = tine_sockets_peer(&scene->sockets, socket);
	connection->server = peer ? server_of(scene, peer->inode) : NULL;
	connection->is_postgres = is_postgres_tcp(scene, words, connection);
	tine_endpoint_format(&socket->remote, connection->endpoint, sizeof(connection->endpoint));
	return connection->is_postgres || tine_connection_holders(connection) > 1;
}

static bool is_in_tree(const struct tine_scene *scene, const struct tine_connection *connection)
{
	for (size_t i = 0; i < connection->holds_count; i++)
		if (tine_scene_holder(scene, &connection->holds[i])->in_tree)
			return true;
	return false;
}

static void add_connection(struct tine_scene *scene, const struct tine_connection *connection)
{
	size_t count = scene->connections_count;

	if (count == 0 || (count >= 64 && (count & (count - 1)) == 0))
		scene->connections = need(reallocarray(scene->connections, count ? 2 * count : 64,
						       sizeof(*connection)));
	scene->connections[scene->connections_count++] = *connection;
}

static void find_connections(struct tine_scene *scene)
{
	struct words *words = need(calloc(1, sizeof(*words)));
	size_t next;

	for (size_t i = 0; i < scene->procs.holds_count; i = next) {
		struct tine_connection connection = { .holds = &scene->procs.holds[i],
						      .age_s = -1,
						      .used_s = -1 };
		uint64_t inode = connection.holds->inode;

		for (next = i;
		     next < scene->procs.holds_count && scene->procs.holds[next].inode == inode;)
			next++;
		connection.holds_count = next - i;
		connection.socket = tine_sockets_find(&scene->sockets, inode);
		if (!connection.socket || !is_in_tree(scene, &connection))
			continue;
		if (connection.socket->family == AF_UNIX ? fill_unix(scene, &connection)
							 : fill_tcp(scene, words, &connection))
			add_connection(scene, &connection);
	}
	free(words);
}

/* ---- all of it ------------------------------------------------------------------------------ */

int tine_scene_read(struct tine_scene *scene, const char *root, int pid,
		    const struct tine_ports *ports)
{
	char own[300];
	int rc;

	memset(scene, 0, sizeof(*scene));
	scene->ports = *ports;
	tine_ports_add(&scene->ports, 5432);
	tine_ports_add(&scene->ports, 6432);
	rc = tine_procs_read(&scene->procs, root);
	if (rc == 0)
		rc = tine_procs_mark(&scene->procs, pid);
	if (rc == 0 && pid && !tine_procs_find(&scene->procs, pid)->readable)
		rc = -EACCES;
	if (rc < 0)
		return rc;
	snprintf(own, sizeof(own), "%s/self/ns/net", root);
	scene->own_netns = netns_of(own);
	list_namespaces(scene);
	read_sockets(scene);
	learn_local_servers(scene);
	find_connections(scene);
	return 0;
}

void tine_scene_free(struct tine_scene *scene)
{
	tine_sockets_free(&scene->sockets);
	tine_procs_free(&scene->procs);
	free(scene->namespaces);
	free(scene->connections);
}
