/* How far an init is, in a folder that stands for the machine's files. */
#include "test.h"

#include "base/file.h"
#include "guest/phase.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char root[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/annex-phase-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return file_remove_tree(AT_FDCWD, root);
}

static void put_bytes(const char *name, const void *bytes, size_t size)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	*strrchr(path, '/') = '\0';
	assert_int_equal(file_make_folders(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void put(const char *name, const char *text)
{
	put_bytes(name, text, strlen(text));
}

static void drop(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(file_remove_tree(AT_FDCWD, path), 0);
}

static void put_link(const char *name, const char *target)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

/* A process; its words are divided by spaces. */
static void put_process(const char *number, const char *words)
{
	char name[64], line[256];
	size_t size = strlen(words);

	assert_true(size < sizeof(line) - 1);
	memcpy(line, words, size + 1);
	for (char *at = line; *at; at++)
		*at = *at == ' ' ? '\0' : *at;
	snprintf(name, sizeof(name), "proc/%s/cmdline", number);
	put_bytes(name, line, size + 1);
}

/* PID 1: what it is, whether it has waited for a child, and its children. */
static void put_init(const char *program, bool has_waited, const char *children)
{
	char stat[128];

	snprintf(stat, sizeof(stat), "1 (a )name) S 0 1 1 0 -1 4194560 123 %d 7 8 9\n", has_waited ? 4567 : 0);
	put("proc/1/stat", stat);
	put("proc/1/task/1/children", children);
	put_link("proc/1/exe", program);
}

static void expect(enum phase_kind kind, const char *what)
{
	auto_close int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct phase phase;

	assert_true(fd >= 0);
	phase_look(&phase, fd);
	assert_int_equal(phase.kind, kind);
	assert_string_equal(phase.what, what);
}

static void what_is_no_init_says_nothing(void **state)
{
	(void)state;
	expect(PHASE_UNKNOWN, "");
	put_init("/usr/bin/dash", true, "");
	expect(PHASE_UNKNOWN, "");
	put_init("/usr/bin/dinit", false, "");
	expect(PHASE_UP, "");
}

static void sysvinit_is_up_when_it_waits_for_nothing_in_its_runlevel(void **state)
{
	(void)state;
	put("etc/inittab", "# comment:2:wait:/sbin/getty\nid:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\n"
			   "l2:2:wait:/etc/init.d/rc 2\n1:2345:respawn:/sbin/getty 38400 tty1\n");
	put_init("/usr/sbin/init", false, "");
	put_process("1", "/sbin/init");
	expect(PHASE_STARTING, "");
	put_process("1", "init boot");
	put_init("/usr/sbin/init", true, "20 ");
	put_process("20", "/bin/sh /etc/init.d/rcS");
	expect(PHASE_STARTING, "/etc/init.d/rcS");
	put_bytes("proc/1/cmdline", "init [2]", 9);
	put_init("/usr/sbin/init", true, "21 22 23 ");
	put_process("21", "/bin/sh -e /etc/init.d/rc 2");
	put_process("22", "/usr/sbin/cron /etc/init.d/cron"); /* not what is waited for */
	expect(PHASE_STARTING, "/etc/init.d/rc 2");
	put_init("/usr/sbin/init", true, "22 23 ");
	put_process("23", "/sbin/getty 38400 tty1");
	expect(PHASE_UP, "");
	put("run/openrc/softlevel", "default"); /* what the table ran has become OpenRC */
	put("run/openrc/rc.starting/x", "");
	expect(PHASE_STARTING, "OpenRC's runlevel default");
	drop("run/openrc");
	put_bytes("proc/1/cmdline", "init [0]", 9);
	expect(PHASE_STOPPING, "");
	put_bytes("proc/1/cmdline", "init [6]", 9);
	expect(PHASE_STOPPING, "");
}

static void busybox_is_up_when_its_first_steps_are_over(void **state)
{
	(void)state;
	put_init("/bin/busybox", false, "");
	put_process("1", "/bin/sh /sbin/init"); /* a script */
	expect(PHASE_UNKNOWN, "");
	put_process("1", "/bin/busybox init");
	expect(PHASE_STARTING, "");
	put_process("1", "/sbin/init");
	expect(PHASE_STARTING, ""); /* its own table has such a step */
	put("etc/inittab", "::sysinit:/bin/mount -a\n::sysinit:-/etc/init.d/rcS\n::wait:/bin/last\n"
			   "::shutdown:/bin/umount -a -r\n::respawn:/bin/sh\nmalformed\n:x:\n");
	expect(PHASE_STARTING, "");
	put_init("/bin/busybox", true, "7 ");
	put_process("7", "/bin/sh /etc/init.d/rcS");
	expect(PHASE_STARTING, "/etc/init.d/rcS");
	put_process("7", "/bin/last");
	expect(PHASE_STARTING, "/bin/last");
	put_process("7", "-/bin/sh");
	expect(PHASE_UP, "");
	put_process("7", "/bin/umount -a -r");
	expect(PHASE_STOPPING, "");
	put("etc/inittab", "::respawn:/bin/sh\n");
	put_init("/bin/busybox", false, "");
	expect(PHASE_UP, "");
}

static void openrc_is_up_in_a_runlevel_that_is_entered(void **state)
{
	(void)state;
	put_init("/usr/sbin/openrc-init", true, "");
	expect(PHASE_STARTING, "");
	put("run/openrc/softlevel", "sysinit\n");
	expect(PHASE_STARTING, "OpenRC's runlevel sysinit");
	put("run/openrc/softlevel", "default");
	put("run/openrc/rc.starting/x", "");
	expect(PHASE_STARTING, "OpenRC's runlevel default");
	drop("run/openrc/rc.starting");
	expect(PHASE_UP, "");
	put("run/openrc/rc.stopping/x", "");
	expect(PHASE_STOPPING, "");
}

static void runit_is_up_when_its_second_stage_watches_services(void **state)
{
	(void)state;
	put_init("/usr/bin/runit", false, "");
	expect(PHASE_STARTING, "");
	put_init("/usr/bin/runit", false, "5 ");
	put_process("5", "/bin/sh /etc/runit/1");
	expect(PHASE_STARTING, "/etc/runit/1");
	put_process("5", "/bin/sh /etc/runit/2");
	expect(PHASE_STARTING, "/etc/runit/2");
	put_process("5", "runsvdir -P /etc/service log:....");
	expect(PHASE_UP, "");
	put_process("5", "/bin/sh /etc/runit/3");
	expect(PHASE_STOPPING, "");
}

static void put_status(const char *service, bool has_pid, bool wanted)
{
	unsigned char status[43] = {0};
	char name[64];

	status[24 + 7] = has_pid ? 99 : 0;
	status[42] = wanted ? 4 : 0;
	snprintf(name, sizeof(name), "scan/%s/supervise/status", service);
	put_bytes(name, status, sizeof(status));
}

static void s6_is_up_when_each_service_was_started_or_is_not_to_be(void **state)
{
	(void)state;
	put("scan/web/run", "");
	put("scan/.hidden/run", "");
	put("proc/1/stat", "");
	put_link("proc/1/cwd", "../../scan");
	put_init("/usr/bin/s6-svscan", false, "");
	expect(PHASE_STARTING, "");
	put("scan/.s6-svscan/control", "");
	expect(PHASE_STARTING, "web");
	put_status("web", false, true);
	expect(PHASE_STARTING, "web");
	put_status("web", true, true);
	expect(PHASE_UP, "");
	put_status("web", false, false);
	expect(PHASE_UP, "");
	put_status("web", false, true);
	put("scan/web/supervise/death_tally", "it died");
	expect(PHASE_UP, "");
}

static void what_it_shows_is_cut_and_made_printable(void **state)
{
	char process[256], wanted[PHASE_WHAT_MAX];

	(void)state;
	memset(wanted, 'x', sizeof(wanted));
	memcpy(wanted, "/bin/x ?", 8);
	wanted[sizeof(wanted) - 1] = '\0';
	snprintf(process, sizeof(process), "/bin/x \x1b%0200d", 0);
	for (char *at = process; *at; at++)
		*at = *at == '0' ? 'x' : *at;
	put("etc/inittab", "::sysinit:/bin/x -y\n");
	put_init("/bin/busybox", true, "3 no-number 4");
	put_process("1", "init");
	put_process("3", process);
	expect(PHASE_STARTING, wanted);
}

#define PHASE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PHASE_TEST(what_is_no_init_says_nothing),
		PHASE_TEST(sysvinit_is_up_when_it_waits_for_nothing_in_its_runlevel),
		PHASE_TEST(busybox_is_up_when_its_first_steps_are_over),
		PHASE_TEST(openrc_is_up_in_a_runlevel_that_is_entered),
		PHASE_TEST(runit_is_up_when_its_second_stage_watches_services),
		PHASE_TEST(s6_is_up_when_each_service_was_started_or_is_not_to_be),
		PHASE_TEST(what_it_shows_is_cut_and_made_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
