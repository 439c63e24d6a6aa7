#include "test.h"

#include "folder.h"

#include "machine/taken.h"

#include "base/file.h"
#include "base/text.h"
#include "machine/record.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>

static struct machine_paths paths;

static int set_up(void **state)
{
	assert_int_equal(folder_set_up(state), 0);
	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, "dev", NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	machine_paths_clear(&paths);
	return folder_tear_down(state);
}

static void lines_of_the_kernels_tables_are_read(void **state)
{
	static const char tcp[] =
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        "
		"0 33445 1 0000000000000000 100 0 0 10 0\n";
	static const char tcp6[] =
		"   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A "
		"00000000:00000000 00:00000000 00000000     0        0 33 1 0 100\n";
	static const char mapped[] = "   3: 0000000000000000FFFF00000100007F:0050 "
				     "00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 "
				     "    0        0 34 1 0 100\n";
	static const char udp[] =
		"  241: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   108   "
		"     0 21515 2 0000000000000000 0\n";
	static const char established[] =
		"   1: 0100007F:1F90 0100007F:0050 01 00000000:00000000 00:00000000 00000000  "
		"1000        0 33445 1 0 100\n";
	static const char *const wrong[] = {
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n",
		"",
		"0: 0100007F",
		"0: 0100007F:FFFFF 0:0 0A 0:0 0:0 0 0 0 1 1",
		"0: 0100007:0050 0:0 0A 0:0 0:0 0 0 0 1 1",
		"0: 0100007X:0050 0:0 0A 0:0 0:0 0 0 0 1 1",
		"0: 0100007F0050 0:0 0A 0:0 0:0 0 0 0 1 1",
		"0: 0100007F:0050 0:0 0A 0:0 0:0 0 -1 0 1 1",
		"0: 0100007F:0050 0:0 0A 0:0 0:0 0 0 0 x 1",
	};
	struct taken_line line;

	(void)state;
	assert_true(taken_parse_line(&line, tcp, IPPROTO_TCP));
	assert_int_equal(line.port, 8080);
	assert_int_equal(line.uid, 1000);
	assert_int_equal(line.inode, 33445);
	assert_false(line.address.v6);
	assert_int_equal(line.address.of.v4.s_addr, htonl(INADDR_LOOPBACK));
	assert_true(taken_parse_line(&line, tcp6, IPPROTO_TCP));
	assert_true(line.address.v6 && IN6_IS_ADDR_LOOPBACK(&line.address.of.v6_));
	assert_true(taken_parse_line(&line, mapped, IPPROTO_TCP));
	assert_true(!line.address.v6 && line.address.of.v4.s_addr == htonl(INADDR_LOOPBACK));
	assert_true(taken_parse_line(&line, udp, IPPROTO_UDP));
	assert_int_equal(line.port, 5353);
	assert_false(taken_parse_line(&line, established, IPPROTO_TCP));
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(taken_parse_line(&line, wrong[i], IPPROTO_TCP));
}

static int occupy(uint16_t *ret_port, const char *address, int type)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	socklen_t size = sizeof(here);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, address, &here.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &size), 0);
	*ret_port = ntohs(here.sin_port);
	return fd;
}

static const struct packet_address loopback = {.of.v4.s_addr = 0x0100007f};

static void the_program_that_has_a_port_is_named(void **state)
{
	auto_free char *holder = NULL, *nobody = NULL, *any = NULL;
	struct packet_address other = {.of.v4.s_addr = 0x0200007f};
	char wanted[64];
	uint16_t port, everywhere;
	auto_close int fd = occupy(&port, "127.0.0.1", SOCK_STREAM), wide = occupy(&everywhere, "0.0.0.0", SOCK_DGRAM);

	(void)state;
	assert_true(fd >= 0 && wide >= 0);
	snprintf(wanted, sizeof(wanted), "test-taken (pid %d)", (int)getpid());
	assert_int_equal(taken_by(&holder, &paths, &loopback, port, IPPROTO_TCP, NULL), 0);
	assert_string_equal(holder, wanted);
	assert_int_equal(taken_by(&nobody, &paths, &other, port, IPPROTO_TCP, NULL), 0);
	assert_null(nobody);
	assert_int_equal(taken_by(&any, &paths, &other, everywhere, IPPROTO_UDP, NULL), 0);
	assert_string_equal(any, wanted);
}

/* A machine beside ours that runs: it has its lock, and has written down what is in effect. */
static int run_machine(const char *name, const char *publish)
{
	struct machine_run run = {.pid = getpid(), .started = 1};
	struct machine_paths other;
	char accelerator[] = "tcg", socket[] = "/x";
	int lock;

	assert_int_equal(machine_paths_make(&other, folder, folder, folder, name, NULL), 0);
	assert_int_equal(file_make_folders(other.folder, 0700), 0);
	run.accelerator = accelerator;
	run.socket = socket;
	run.settings = json_pack("{s[s]}", "publish", publish);
	assert_int_equal(machine_run_save(&run, &other, NULL), 0);
	json_decref(run.settings);
	lock = file_lock(AT_FDCWD, other.lock, LOCK_EX | LOCK_NB);
	assert_true(lock >= 0);
	machine_paths_clear(&other);
	return lock;
}

static void a_machine_that_has_a_port_is_named(void **state)
{
	auto_free char *holder = NULL, *stopped = NULL;
	auto_close int lock = -1, fd = -1;
	char publish[64];
	uint16_t port;

	(void)state;
	fd = occupy(&port, "127.0.0.1", SOCK_STREAM);
	snprintf(publish, sizeof(publish), "%u-%u:1-2", port - 1, port);
	lock = run_machine("web", publish);
	assert_int_equal(taken_by(&holder, &paths, &loopback, port, IPPROTO_TCP, NULL), 0);
	assert_string_equal(holder, "machine 'web'");
	close(TAKE_FD(lock));
	assert_int_equal(taken_by(&stopped, &paths, &loopback, port, IPPROTO_TCP, NULL), 0);
	assert_true(text_starts(stopped, "test-taken (pid "));
}

static void a_refusal_says_which_port_who_and_what_helps(void **state)
{
	auto_error struct annex_error *refusal = NULL, *kept = NULL, *now = NULL, *gone = NULL, *other = NULL,
				      *plain = NULL;
	char publish[64], wanted[128];
	uint16_t port;
	auto_close int fd = occupy(&port, "127.0.0.1", SOCK_STREAM);

	(void)state;
	snprintf(publish, sizeof(publish), "%u-%u:80-81", port, port + 1);
	fail(&refusal, ANNEX_ERROR_EXISTS, "port 127.0.0.1:%u is taken", port);
	assert_int_equal(taken_refuse(&kept, refusal, &paths, publish, true), -1);
	snprintf(wanted, sizeof(wanted), "port 127.0.0.1:%u is taken by test-taken (pid %d)", port, (int)getpid());
	assert_string_equal(annex_error_message(kept), wanted);
	assert_int_equal(annex_error_kind(kept), ANNEX_ERROR_EXISTS);
	snprintf(wanted, sizeof(wanted), "for any free port: annex set -n dev publish=-%s publish=0:80-81", publish);
	assert_string_equal(annex_error_hint(kept), wanted);
	assert_int_equal(taken_refuse(&now, refusal, &paths, publish, false), -1);
	assert_string_equal(annex_error_hint(now), "for any free port: annex port add -n dev 0:80-81");
	/* Who had it has gone meanwhile. */
	close(TAKE_FD(fd));
	assert_int_equal(taken_refuse(&gone, refusal, &paths, publish, false), -1);
	assert_string_equal(annex_error_message(gone), annex_error_message(refusal));
	/* Others are passed on. */
	fail(&other, ANNEX_ERROR_UNSUPPORTED, "port 127.0.0.1:80 is for root only on this host");
	assert_int_equal(taken_refuse(&plain, other, &paths, "80:80", true), -1);
	assert_string_equal(annex_error_message(plain), annex_error_message(other));
	assert_int_equal(annex_error_kind(plain), ANNEX_ERROR_UNSUPPORTED);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(lines_of_the_kernels_tables_are_read),
		TEST(the_program_that_has_a_port_is_named),
		TEST(a_machine_that_has_a_port_is_named),
		TEST(a_refusal_says_which_port_who_and_what_helps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
