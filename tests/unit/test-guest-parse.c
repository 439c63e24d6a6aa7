/* What the agent reads from the kernel, from init and from its configuration, and the lists it makes. */
#include "test.h"

#include "guest/disk.h"
#include "guest/env.h"
#include "guest/files.h"
#include "guest/klog.h"
#include "guest/measure.h"
#include "guest/network.h"
#include "guest/notify.h"
#include "base/inits.h"
#include "guest/program.h"

#include <arpa/inet.h>
#include <string.h>

static void an_assignment_replaces_the_one_of_the_same_name(void **state)
{
	auto_text_list struct text_list env = {0};

	(void)state;
	assert_int_equal(env_set_all(&env, (const char *const[]){"A=1", "AB=2", "A=3", "=x", "none", "E=", NULL}), 0);
	assert_int_equal(env.count, 3);
	assert_string_equal(env.items[0], "A=3");
	assert_string_equal(env_get(&env, "AB"), "2");
	assert_string_equal(env_get(&env, "E"), "");
	assert_null(env_get(&env, "none"));
	assert_int_equal(env_set_pair(&env, "AB", "x=y"), 0);
	assert_string_equal(env_get(&env, "AB"), "x=y");
}

static void a_program_is_looked_for_along_the_path(void **state)
{
	auto_text_list struct text_list plain = {0}, slash = {0}, standard = {0};

	(void)state;
	assert_int_equal(env_candidates(&plain, "/bin::/opt/x", "ls"), 0);
	assert_int_equal(plain.count, 3);
	assert_string_equal(plain.items[0], "/bin/ls");
	assert_string_equal(plain.items[1], "./ls");
	assert_string_equal(plain.items[2], "/opt/x/ls");
	assert_int_equal(env_candidates(&slash, "/bin", "./ls"), 0);
	assert_int_equal(slash.count, 1);
	assert_string_equal(slash.items[0], "./ls");
	assert_int_equal(env_candidates(&standard, "", "ls"), 0);
	assert_int_equal(standard.count, 6);
	assert_string_equal(standard.items[0], "/usr/local/sbin/ls");
}

static const struct files_names offline = {.name = "box", .domain = "", .address = "", .address6 = ""};
static const struct files_names online = {
	.name = "box", .domain = "annex.internal", .address = "198.19.3.7/16", .address6 = "fd61:6e6e:6578::307/64"};

#define LOCAL "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
#define OWN(name)                                                                                                \
	"198.19.3.7\tbox.annex.internal " name "\t# annex\nfd61:6e6e:6578::307\tbox.annex.internal " name "\t# " \
	"annex\n"

static void check_hosts(const struct files_names *names, const char *before, const char *hostname, const char *after)
{
	auto_text struct text made = {0};
	bool changed = files_hosts(&made, before, names, hostname);

	assert_string_equal(made.data, after);
	assert_int_equal(changed, strcmp(before, after) != 0);
}

static void hosts_gets_lines_for_the_machine(void **state)
{
	(void)state;
	check_hosts(&offline, "", "box", LOCAL "127.0.1.1\tbox\t# annex\n");
	check_hosts(&online, "", "box", LOCAL OWN("box"));
	check_hosts(&online, LOCAL, "box", LOCAL OWN("box"));
	check_hosts(&online, "127.0.0.1 localhost\n", "mine", "127.0.0.1 localhost\n" OWN("mine"));
	check_hosts(&online, "127.0.0.1 localhost box\n", "box", "127.0.0.1 localhost box\n");
	check_hosts(&online, "127.0.0.1 box\n", "box", LOCAL "127.0.0.1 box\n");
	check_hosts(&offline, LOCAL "127.0.0.1 boxes\n# box\n", "box",
		    LOCAL "127.0.0.1 boxes\n# box\n127.0.1.1\tbox\t# annex\n");
}

static void the_lines_of_an_earlier_start_are_replaced(void **state)
{
	(void)state;
	check_hosts(&offline, LOCAL "127.0.1.1\told\t# annex\n1.2.3.4 other", "new",
		    LOCAL "1.2.3.4 other\n127.0.1.1\tnew\t# annex\n");
	check_hosts(&offline, LOCAL "127.0.1.1\tnew\t# annex\n", "new", LOCAL "127.0.1.1\tnew\t# annex\n");
	check_hosts(&online, LOCAL "127.0.1.1\tbox\t# annex\n1.2.3.4 other\n", "box",
		    LOCAL "1.2.3.4 other\n" OWN("box"));
	check_hosts(&offline, LOCAL OWN("box"), "box", LOCAL "127.0.1.1\tbox\t# annex\n");
	check_hosts(&online, LOCAL "1.2.3.4 box\n" OWN("box"), "box", LOCAL "1.2.3.4 box\n");
	check_hosts(&online, LOCAL OWN("box"), "box", LOCAL OWN("box"));
}

static void inits_are_known_by_their_file(void **state)
{
	(void)state;
	assert_true(program_is_systemd("/usr/lib/systemd/systemd"));
	assert_int_equal(program_find("/usr/lib/systemd/systemd")->signal, 38);
	assert_int_equal(program_find("/bin/busybox")->stop, PROGRAM_STOP_SIGNAL);
	assert_int_equal(program_find("/sbin/openrc-init")->stop, PROGRAM_STOP_OPENRC);
	assert_int_equal(program_find("/lib/sysvinit/init")->stop, PROGRAM_STOP_INITCTL);
	assert_null(program_find("/usr/bin/bash"));
}

static void an_application_is_no_init(void **state)
{
	static const char *const inits[] = {
		"/sbin/init",    "/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/init",
		"/usr/bin/init", "/sbin/openrc-init",    "/usr/bin/runit-init",      "/bin/s6-svscan"};
	static const char *const others[] = {"/bin/sh", "init", "/docker-entrypoint.sh", "/bin/busybox", "", "nginx"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(inits); i++)
		assert_true(init_is_named_by(inits[i]));
	for (size_t i = 0; i < COUNT_OF(others); i++)
		assert_false(init_is_named_by(others[i]));
}

static void notify(struct notify_news *news, const char *message)
{
	notify_parse(news, message, strlen(message));
}

static void readiness_and_status_are_read_line_by_line(void **state)
{
	struct notify_news news;
	char *longest;

	(void)state;
	notify(&news, "STATUS=A job is running\nREADY=1\n");
	assert_true(news.ready);
	assert_string_equal(news.status, "A job is running");
	notify(&news, "READY=10\nXREADY=1\nSTATUS=");
	assert_false(news.ready);
	assert_string_equal(news.status, "");
	notify(&news, "STATUS=a\tb\x1b");
	assert_string_equal(news.status, "a b");
	notify(&news, "STATUS=User job a.service/start running (7s / no limit)...");
	assert_string_equal(news.status, "User job a.service/start running");
	notify(&news, "STATUS=(7s)");
	assert_string_equal(news.status, "(7s)");
	notify(&news, "");
	assert_false(news.ready);
	longest = malloc(1000);
	assert_non_null(longest);
	memset(longest, 'x', 999);
	memcpy(longest, "STATUS=", 7);
	longest[999] = '\0';
	notify(&news, longest);
	assert_int_equal(strlen(news.status), NOTIFY_STATUS_MAX - 1);
	free(longest);
}

static void check_log(const char *record, const char *line)
{
	auto_text struct text made = {0};

	assert_int_equal(klog_format(&made, record, strlen(record)), line != NULL);
	if (line)
		assert_string_equal(made.data, line);
}

static void log_records_become_lines(void **state)
{
	(void)state;
	check_log("6,339,5140900,-;NET: Registered\n SUBSYSTEM=x\n", "[    5.140900] NET: Registered\n");
	check_log("6,1,0,-,caller=T1;a;b", "[    0.000000] a;b\n");
	check_log("6,1,x,-;a\n", NULL);
	check_log("6,1;a\n", NULL);
	check_log("no record", NULL);
}

static void addresses_have_a_prefix(void **state)
{
	static const char *const wrong[] = {
		"",           "10.0.2.15/0",   "10.0.2.15/33",          "10.0.2/24",   "/24",           "a/24",
		"10.0.2.15/", "10.0.2.15/24x", "1111111111111111111/8", "fd61::1/129", "fd61::1::2/64", "fd61::1/",
		":/64"};
	struct network_address address;
	struct in6_addr wanted;

	(void)state;
	assert_true(network_parse(&address, "10.0.2.15/24"));
	assert_true(address.family == AF_INET && address.size == 4 && address.prefix == 24);
	assert_memory_equal(address.bytes, "\x0a\0\x02\x0f", 4);
	assert_true(network_parse(&address, "1.2.3.4"));
	assert_int_equal(address.prefix, 32);
	assert_true(network_parse(&address, "fd61:6e6e:6578::307/64"));
	assert_true(address.family == AF_INET6 && address.size == 16 && address.prefix == 64);
	assert_int_equal(inet_pton(AF_INET6, "fd61:6e6e:6578::307", &wanted), 1);
	assert_memory_equal(address.bytes, &wanted, 16);
	assert_true(network_parse(&address, "::1"));
	assert_int_equal(address.prefix, 128);
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(network_parse(&address, wrong[i]));
}

static void a_superblock_tells_its_size(void **state)
{
	uint8_t block[DISK_SUPERBLOCK_SIZE] = {[0x04] = 0x00, [0x05] = 0x10, [0x18] = 2, [0x38] = 0x53, [0x39] = 0xef};
	uint64_t blocks = 0;
	uint32_t size = 0;

	(void)state;
	assert_true(disk_parse_superblock(&blocks, &size, block));
	assert_int_equal(blocks, 0x1000);
	assert_int_equal(size, 4096);
	block[0x150] = 1; /* counts only with the feature 64bit */
	assert_true(disk_parse_superblock(&blocks, &size, block));
	assert_int_equal(blocks, 0x1000);
	block[0x60] = 0x80;
	assert_true(disk_parse_superblock(&blocks, &size, block));
	assert_true(blocks == 0x100001000);
	block[0x18] = 60;
	assert_false(disk_parse_superblock(&blocks, &size, block));
	block[0x18] = 2;
	block[0x38] = 0;
	assert_false(disk_parse_superblock(&blocks, &size, block));
}

static void memory_is_read_of_what_the_kernel_says(void **state)
{
	struct message_measured measured = {0};

	(void)state;
	measure_memory(&measured,
		       "MemTotal:        1014784 kB\nMemFree:          632580 kB\nMemAvailable:     801000 kB\n");
	assert_int_equal(measured.memory_total, UINT64_C(1014784) << 10);
	assert_int_equal(measured.memory_available, UINT64_C(801000) << 10);
	measure_memory(&measured, "MemTotal: 99999999999999999999 kB\nMemAvailable:\nx");
	assert_int_equal(measured.memory_total, 0);
	assert_int_equal(measured.memory_available, 0);
	measure_memory(&measured, "HugeMemTotal: 5 kB\nMemTotal: 18446744073709551615 kB");
	assert_int_equal(measured.memory_total, 0);
}

static void load_is_read_in_hundredths(void **state)
{
	(void)state;
	assert_int_equal(measure_load("0.52 0.58 0.59 1/467 12345\n"), 52);
	assert_int_equal(measure_load("12.07 0.58 0.59 1/467 12345\n"), 1207);
	assert_int_equal(measure_load("12.0"), 0);
	assert_int_equal(measure_load("x"), 0);
	assert_int_equal(measure_load(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_assignment_replaces_the_one_of_the_same_name),
		cmocka_unit_test(a_program_is_looked_for_along_the_path),
		cmocka_unit_test(hosts_gets_lines_for_the_machine),
		cmocka_unit_test(the_lines_of_an_earlier_start_are_replaced),
		cmocka_unit_test(inits_are_known_by_their_file),
		cmocka_unit_test(an_application_is_no_init),
		cmocka_unit_test(readiness_and_status_are_read_line_by_line),
		cmocka_unit_test(log_records_become_lines),
		cmocka_unit_test(addresses_have_a_prefix),
		cmocka_unit_test(a_superblock_tells_its_size),
		cmocka_unit_test(memory_is_read_of_what_the_kernel_says),
		cmocka_unit_test(load_is_read_in_hundredths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
