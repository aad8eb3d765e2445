/* SPDX-License-Identifier: PostgreSQL */
/*
 * The examination of live processes on a /proc that the test makes: ten thousand processes, trees
 * and sockets that a machine shows for a moment only, and files that make no sense.
 */
#include "doctor/scene.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <time.h>

#include "doctor/doctor.h"
#include "doctor/report.h"
#include "support/check.h"

static char root[64];
static struct tine_ports no_ports;

/* ---- making it ------------------------------------------------------------------------------ */

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(fd >= 0);
	CHECK_INT(write(fd, text, strlen(text)), ==, (ssize_t)strlen(text));
	close(fd);
}

__attribute__((format(printf, 1, 2))) static const char *in_root(const char *format, ...)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];
	va_list args;
	int length = snprintf(path, sizeof(paths[0]), "%s/", root);

	va_start(args, format);
	vsnprintf(path + length, sizeof(paths[0]) - (size_t)length, format, args);
	va_end(args);
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_root(void)
{
	nftw(root, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

static void make_root(void)
{
	/* In memory where that can be: hundreds of thousands of entries. */
	strcpy(root, "/dev/shm/tine-proc-XXXXXX");
	if (!mkdtemp(root)) {
		strcpy(root, "/tmp/tine-proc-XXXXXX");
		CHECK(mkdtemp(root));
	}
	CHECK(mkdir(in_root("net"), 0755) == 0);
	put(in_root("net/tcp"), "  sl  local_address rem_address   st\n");
	put(in_root("net/tcp6"), "  sl  local_address rem_address   st\n");
	put(in_root("net/unix"), "Num       RefCount Protocol Flags    Type St Inode Path\n");
}

/* One with the ticks of its start and the place of its stack. */
static void make_process(int pid, int parent, int group, unsigned start, unsigned stack)
{
	char text[512];

	CHECK(mkdir(in_root("%d", pid), 0755) == 0);
	CHECK(mkdir(in_root("%d/fd", pid), 0755) == 0);
	CHECK(mkdir(in_root("%d/ns", pid), 0755) == 0);
	CHECK(symlink("net:[4026531840]", in_root("%d/ns/net", pid)) == 0);
	CHECK(symlink("../net", in_root("%d/net", pid)) == 0);
	snprintf(text, sizeof(text),
		 "%d (wor) ker)) S %d %d 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %u 0 0 0 0 0 %u 0 0\n",
		 pid, parent, group, start, stack);
	put(in_root("%d/stat", pid), text);
}

static void hold(int pid, int fd, unsigned inode)
{
	char target[32];

	snprintf(target, sizeof(target), "socket:[%u]", inode);
	CHECK(symlink(target, in_root("%d/fd/%d", pid, fd)) == 0);
}

/* Connections of 127.0.0.1 to 5432, from port 10000 on. */
static void write_tcp(unsigned first_inode, unsigned count)
{
	FILE *file = fopen(in_root("net/tcp"), "w");

	CHECK(file);
	fputs("  sl  local_address rem_address   st\n", file);
	for (unsigned i = 0; i < count; i++)
		fprintf(file,
			"%4u: %08X:%04X 0100007F:1538 01 00000000:00000000 00:00000000 00000000 "
			"  33        0 %u 1 0000000000000000 20 0 0 10 -1\n",
			i, 0x0100007F + (i / 50000 << 24), 10000 + i % 50000, first_inode + i);
	fclose(file);
}

static struct tine_scene scene;

static void read_scene(int pid)
{
	CHECK_INT(tine_scene_read(&scene, root, pid, &no_ports), ==, 0);
	tine_scene_judge(&scene);
}

static void done(void)
{
	tine_scene_free(&scene);
	remove_root();
}

/* ---- size ----------------------------------------------------------------------------------- */

static double now_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Valgrind and sanitizers, with which this is set, take many times as long. */
static int masters(void)
{
	return getenv("TINE_TEST_SLOW") ? 3 : 100;
}

/* Masters with 99 workers each, 1,000 sockets per master, all shared by two. */
static void make_crowd(void)
{
	make_root();
	for (int master = 0; master < masters(); master++) {
		int first = 1000 + 100 * master;

		make_process(first, 1, first, 100, 0x1000 + (unsigned)master);
		for (int worker = 1; worker < 100; worker++)
			make_process(first + worker, first, first, 200, 0x1000 + (unsigned)master);
		for (int i = 0; i < 1000; i++) {
			hold(first, 3 + i, 500000 + (unsigned)(1000 * master + i));
			hold(first + 1 + i % 99, 3 + i, 500000 + (unsigned)(1000 * master + i));
		}
	}
	write_tcp(500000, 1000 * (unsigned)masters());
}

/* Looks at it and prints it, as the program does. Returns what it takes of the processor. */
static double examine_crowd(bool json)
{
	const struct tine_doctor_options options = { .all = true, .proc = root, .json = json };
	struct tine_report *report = tine_report_new();
	double start_s = now_s(CLOCK_MONOTONIC), start_cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
	FILE *out = fopen("/dev/null", "w");

	CHECK_INT(tine_doctor_live(report, &options), ==, 0);
	if (json)
		tine_report_print_json(report, out);
	else
		tine_report_print(report, out);
	start_s = now_s(CLOCK_MONOTONIC) - start_s;
	start_cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID) - start_cpu_s;
	printf("# %s: %.2f s, %.2f s of processor time\n", json ? "JSON" : "text", start_s,
	       start_cpu_s);
	CHECK_INT(tine_report_grade(report), ==, TINE_GRADE_HAZARD);
	CHECK_INT(json_array_size(
			  json_object_get(tine_report_facts(report, "live"), "connections")),
		  ==, json ? 1000 * masters() : 0);
	fclose(out);
	tine_report_free(report);
	return start_cpu_s;
}

TEST(ten_thousand_processes_and_a_hundred_thousand_sockets)
{
	double text_s, json_s;

	make_crowd();
	text_s = examine_crowd(false);
	json_s = examine_crowd(true);
	remove_root();
	if (masters() < 100)
		return;
	CHECK(text_s < 2.0);
	CHECK(json_s < 4.0);
}

/* ---- trees ---------------------------------------------------------------------------------- */

static const struct tine_connection *only(void)
{
	CHECK_INT(scene.connections_count, ==, 1);
	return &scene.connections[0];
}

TEST(a_master_and_its_copies_share)
{
	make_root();
	make_process(10, 1, 10, 100, 7);
	make_process(11, 10, 10, 150, 7);
	make_process(12, 10, 10, 151, 7);
	make_process(13, 10, 10, 152, 7);
	hold(10, 3, 99);
	hold(11, 3, 99);
	hold(12, 3, 99);
	hold(12, 4, 99);
	write_tcp(99, 1);
	read_scene(10);
	CHECK_INT(only()->sharing, ==, TINE_SHARING_LATENT);
	CHECK_INT(only()->opener->pid, ==, 10);
	CHECK_INT(tine_connection_holders(only()), ==, 3);
	CHECK_INT(only()->holds_count, ==, 4);
	CHECK_STR(only()->endpoint, "127.0.0.1:5432");
	CHECK_STR(only()->opener->name, "wor) ker)");
	done();
}

TEST(children_of_a_killed_master_are_orphans)
{
	make_root();
	make_process(1, 0, 1, 1, 1);
	make_process(11, 1, 10, 150, 7);
	make_process(12, 1, 10, 151, 7);
	hold(11, 3, 99);
	hold(12, 3, 99);
	write_tcp(99, 1);
	read_scene(11);
	CHECK_INT(only()->sharing, ==, TINE_SHARING_ORPHANED);
	CHECK(!only()->opener);
	done();
}

TEST(children_whose_master_let_go_are_orphans)
{
	make_root();
	make_process(10, 1, 10, 100, 7);
	make_process(11, 10, 10, 150, 7);
	make_process(12, 10, 10, 151, 7);
	hold(11, 3, 99);
	hold(12, 3, 99);
	write_tcp(99, 1);
	read_scene(10);
	CHECK_INT(only()->sharing, ==, TINE_SHARING_ORPHANED);
	done();
}

TEST(a_daemon_that_forked_twice_is_the_opener)
{
	make_root();
	make_process(1, 0, 1, 1, 1);
	make_process(10, 1, 10, 100, 7);
	make_process(12, 1, 12, 151, 7);
	hold(10, 3, 99);
	hold(12, 3, 99);
	write_tcp(99, 1);
	read_scene(10);
	CHECK_INT(only()->sharing, ==, TINE_SHARING_LATENT);
	CHECK_INT(only()->opener->pid, ==, 10);
	done();
}

TEST(a_program_is_no_copy)
{
	make_root();
	make_process(10, 1, 10, 100, 7);
	make_process(11, 10, 10, 150, 8);
	hold(10, 3, 99);
	hold(11, 3, 99);
	write_tcp(99, 1);
	read_scene(10);
	CHECK_INT(only()->sharing, ==, TINE_SHARING_PROGRAM);
	done();
}

TEST(connections_outside_of_the_tree_are_left_out)
{
	make_root();
	make_process(10, 1, 10, 100, 7);
	make_process(20, 1, 20, 100, 8);
	hold(20, 3, 99);
	write_tcp(99, 1);
	read_scene(10);
	CHECK_INT(scene.connections_count, ==, 0);
	tine_scene_free(&scene);
	read_scene(0);
	CHECK_INT(scene.connections_count, ==, 1);
	done();
}

/* Pids wrap around: a child can have a lower one. Parents that form a ring do not exist, but what
 * is read at different times can look so. */
TEST(trees_are_followed_whatever_the_pids_are)
{
	make_root();
	make_process(500, 1, 500, 100, 7);
	make_process(20, 500, 500, 150, 7);
	make_process(10, 20, 500, 160, 7);
	make_process(600, 601, 600, 100, 7);
	make_process(601, 600, 600, 100, 7);
	read_scene(500);
	CHECK(tine_procs_find(&scene.procs, 10)->in_tree);
	CHECK(!tine_procs_find(&scene.procs, 600)->in_tree);
	CHECK(!tine_procs_is_ancestor(&scene.procs, tine_procs_find(&scene.procs, 10),
				      tine_procs_find(&scene.procs, 600)));
	tine_scene_free(&scene);
	read_scene(600);
	CHECK(tine_procs_find(&scene.procs, 601)->in_tree);
	done();
}

/* ---- input that makes no sense -------------------------------------------------------------- */

TEST(files_that_make_no_sense_are_left_out)
{
	static const char *const stats[] = {
		"", "(", "1 (x", "1 )x( S 1", "1 (x) S", "1 (x) S 1 1 1 0", "\xff\xff\xff"
	};

	make_root();
	make_process(10, 1, 10, 100, 7);
	for (int i = 0; i < (int)(sizeof(stats) / sizeof(stats[0])); i++) {
		make_process(20 + i, 10, 10, 100, 7);
		put(in_root("%d/stat", 20 + i), stats[i]);
	}
	CHECK(symlink("socket:[", in_root("10/fd/3")) == 0);
	CHECK(symlink("socket:[x]", in_root("10/fd/4")) == 0);
	CHECK(symlink("pipe:[99]", in_root("10/fd/5")) == 0);
	CHECK(symlink("socket:[99999999999999999999999]", in_root("10/fd/6")) == 0);
	hold(10, 7, 99);
	put(in_root("net/tcp"), "x\n 0: zz:yy 0100007F:1538 01 0 0 0 33 0 99\n"
				" 0: 0100007F 0100007F:1538 01 0 0 0 33 0 99\n"
				" 0: 0100007F:1 0100007F:1538\n\n"
				" 1: 00000000000000000000FFFF0100007F:1 0100007F:1538 01 0\n");
	put(in_root("net/unix"), "x\n0: 1 2 3 4 5\n0: 0 0 0 0 0 98 /x/.s.PGSQL.5432\n");
	read_scene(10);
	CHECK_INT(scene.procs.count, ==, 1);
	CHECK_INT(scene.connections_count, ==, 0);
	done();
}

TEST(there_is_no_such_process)
{
	make_root();
	make_process(10, 1, 10, 100, 7);
	CHECK_INT(tine_scene_read(&scene, root, 11, &no_ports), ==, -ESRCH);
	tine_scene_free(&scene);
	CHECK_INT(tine_scene_read(&scene, "/nonexistent", 0, &no_ports), ==, -ENOENT);
	remove_root();
}

/* Read between one's fork and another's end: the process is another one by now. */
TEST(a_pid_that_was_used_again_is_another_process)
{
	char *text;

	make_root();
	make_process(10, 1, 10, 100, 7);
	put(in_root("10/environ"), "A=1");
	read_scene(10);
	CHECK_INT(tine_process_read(&scene.procs, &scene.procs.items[0], "environ", 100, &text), ==,
		  3);
	CHECK_STR(text, "A=1");
	free(text);
	scene.procs.items[0].start_ticks++;
	CHECK_INT(tine_process_read(&scene.procs, &scene.procs.items[0], "environ", 100, &text), ==,
		  -ESRCH);
	CHECK(!text && !tine_process_is_same(&scene.procs, &scene.procs.items[0]));
	done();
}

CHECK_TABLE(T(ten_thousand_processes_and_a_hundred_thousand_sockets),
	    T(a_master_and_its_copies_share), T(children_of_a_killed_master_are_orphans),
	    T(children_whose_master_let_go_are_orphans),
	    T(a_daemon_that_forked_twice_is_the_opener), T(a_program_is_no_copy),
	    T(connections_outside_of_the_tree_are_left_out),
	    T(trees_are_followed_whatever_the_pids_are), T(files_that_make_no_sense_are_left_out),
	    T(there_is_no_such_process), T(a_pid_that_was_used_again_is_another_process))
