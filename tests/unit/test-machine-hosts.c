#include "test.h"

#include "machine/hosts.h"

#include <stdio.h>
#include <string.h>

#define HEAD  "127.0.0.1\tlocalhost\n# a comment\n\n192.0.2.7 db.example.org db  # ours\n"
#define ALICE "# >>> annex: machines of alice\n127.88.3.7 dev.annex.internal dev\n# <<< annex: machines of alice\n"
#define BOB   "# >>> annex: machines of bob\n127.88.9.9 dev.annex.internal\n# <<< annex: machines of bob\n"

static void edit(struct text *ret, const char *file, const char *user, const char *lines)
{
	auto_machine_hosts struct machine_hosts hosts = {0};

	if (lines)
		assert_int_equal(machine_hosts_parse(&hosts, lines, NULL), 0);
	machine_hosts_edit(ret, file, strlen(file), user, lines ? &hosts : NULL);
	assert_true(text_ok(ret));
}

static void becomes(const char *file, const char *user, const char *lines, const char *expected)
{
	auto_text struct text text = {0};
	auto_free char *made = NULL;

	edit(&text, file, user, lines);
	made = text_take(&text);
	assert_string_equal(made, expected);
}

static void a_block_is_added_at_the_end(void **state)
{
	(void)state;
	becomes(HEAD, "alice", "127.88.3.7 dev.annex.internal dev\n", HEAD ALICE);
	becomes(HEAD BOB, "alice", "127.88.3.7 dev.annex.internal dev\n", HEAD BOB ALICE);
	becomes("", "alice", "127.88.3.7 dev.annex.internal dev\n", ALICE);
	becomes("127.0.0.1 localhost", "alice", "127.88.3.7 dev.annex.internal dev\n", "127.0.0.1 localhost\n" ALICE);
}

static void a_block_that_is_there_is_changed_in_its_place(void **state)
{
	(void)state;
	becomes(HEAD ALICE BOB "::1 x\n", "alice", "127.88.4.4 web.annex.internal\n",
		HEAD "# >>> annex: machines of alice\n127.88.4.4 web.annex.internal\n# <<< annex: machines of "
		     "alice\n" BOB "::1 x\n");
	becomes(HEAD ALICE BOB, "alice", "127.88.3.7 dev.annex.internal dev\n", HEAD ALICE BOB);
	becomes(ALICE, "alice", "", "# >>> annex: machines of alice\n# <<< annex: machines of alice\n");
}

static void a_block_is_taken_out(void **state)
{
	(void)state;
	becomes(HEAD ALICE BOB, "alice", NULL, HEAD BOB);
	becomes(HEAD ALICE BOB, "bob", NULL, HEAD ALICE);
	becomes(HEAD ALICE, "al", NULL, HEAD ALICE);
	becomes(HEAD ALICE, "alice2", NULL, HEAD ALICE);
	becomes(HEAD, "alice", NULL, HEAD);
}

static void what_others_wrote_stays_byte_for_byte(void **state)
{
	static const char odd[] = "\r\n\t127.0.0.1 a\r\n\xff\xfe\n#\n127.88.1.1 mine\n  \n";

	(void)state;
	becomes(odd, "alice", NULL, odd);
	/* Inside of the block, too. */
	becomes("# >>> annex: machines of alice\n127.88.3.7 dev.annex.internal\n10.0.0.1 x\n# <<< annex: machines of "
		"alice\ny\n",
		"alice", NULL, "10.0.0.1 x\ny\n");
	/* Half of a block. */
	becomes("# >>> annex: machines of alice\n127.88.3.7 dev.annex.internal\n10.0.0.1 x\n" BOB, "alice", NULL,
		"10.0.0.1 x\n" BOB);
	becomes("127.88.3.7 mine\n# <<< annex: machines of alice\nx\n", "alice", NULL, "127.88.3.7 mine\nx\n");
	/* With ends of lines that an editor changed. */
	becomes("# >>> annex: machines of alice\r\n127.88.3.7 dev.annex.internal\r\n# <<< annex: machines of "
		"alice\r\nx\r\n",
		"alice", NULL, "x\r\n");
}

static void two_blocks_of_one_user_become_one(void **state)
{
	(void)state;
	becomes(ALICE "x\n" ALICE, "alice", "127.88.3.7 dev.annex.internal dev\n", ALICE "x\n");
}

static void a_name_of_something_else_is_not_given_bare(void **state)
{
	auto_machine_hosts struct machine_hosts hosts = {0};
	auto_text struct text text = {0};

	(void)state;
	assert_int_equal(machine_hosts_add(&hosts, "db", 0x0301, true), 0);
	assert_int_equal(machine_hosts_add(&hosts, "localhost", 0x0302, true), 0);
	assert_int_equal(machine_hosts_add(&hosts, "dev", 0x0307, true), 0);
	assert_int_equal(machine_hosts_add(&hosts, "ours", 0x0304, true), 0);
	machine_hosts_yield(&hosts, HEAD ALICE, strlen(HEAD ALICE), "alice");
	machine_hosts_print(&text, &hosts);
	assert_string_equal(text.data, "127.88.3.1 db.annex.internal\n127.88.3.2 localhost.annex.internal\n"
				       "127.88.3.7 dev.annex.internal dev\n127.88.3.4 ours.annex.internal ours\n");
	/* Somebody else's machine has it already. */
	machine_hosts_yield(&hosts, HEAD ALICE, strlen(HEAD ALICE), "bob");
	assert_false(hosts.items[2].bare);
}

static void names_are_compared_as_resolvers_do(void **state)
{
	static const char file[] = "10.0.0.1\tWEB\n10.0.0.2 a b  mail # dns\n#10.0.0.3 off\ndev 10.0.0.4";
	static const struct {
		const char *name;
		bool bare;
	} cases[] = {{"web", false}, {"mail", false}, {"dns", true}, {"off", true}, {"dev", true}, {"ma", true}};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		auto_machine_hosts struct machine_hosts hosts = {0};

		assert_int_equal(machine_hosts_add(&hosts, cases[i].name, 0x0301, true), 0);
		machine_hosts_yield(&hosts, file, sizeof(file) - 1, "alice");
		assert_int_equal(hosts.items[0].bare, cases[i].bare);
	}
}

static void only_lines_of_annex_are_taken(void **state)
{
	static const char *const wrong[] = {
		"127.0.0.1 dev.annex.internal",
		"127.88.3.7",
		"127.88.3.7 dev",
		"127.88.3.7 dev.annex.internal web",
		"127.88.3.7 dev.annex.internal dev web",
		"127.88.3.7  dev.annex.internal",
		"127.88.3.7\tdev.annex.internal",
		"127.88.0.7 dev.annex.internal",
		"127.88.3.7 Dev.annex.internal",
		"127.88.3.7 a.dev.annex.internal",
		"127.88.3.7 .annex.internal",
		"127.88.3.7 dev.annex.internal\r",
		" 127.88.3.7 dev.annex.internal",
		"# x",
		"10.0.0.1 www.example.org",
	};
	auto_machine_hosts struct machine_hosts hosts = {0};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		auto_error struct annex_error *err = NULL;
		auto_machine_hosts struct machine_hosts none = {0};

		assert_int_equal(machine_hosts_parse(&none, wrong[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_USAGE);
	}
	assert_int_equal(
		machine_hosts_parse(&hosts, "\n127.88.3.7 dev.annex.internal dev\n127.88.3.8 a.annex.internal", NULL),
		0);
	assert_int_equal(hosts.count, 2);
	assert_string_equal(hosts.items[0].name, "dev");
	assert_int_equal(hosts.items[0].place, 0x0307);
	assert_true(hosts.items[0].bare);
	assert_false(hosts.items[1].bare);
}

static enum machine_hosts_kept kept(const char *file, const char *user)
{
	return machine_hosts_kept(file, strlen(file), user, "/data");
}

static void a_block_is_a_users(void **state)
{
	(void)state;
	assert_int_equal(kept(HEAD ALICE, "alice"), MACHINE_HOSTS_KEPT);
	assert_int_equal(kept(HEAD ALICE, "bob"), MACHINE_HOSTS_NOT_KEPT);
	assert_int_equal(kept(HEAD, "alice"), MACHINE_HOSTS_NOT_KEPT);
	assert_int_equal(kept("", "alice"), MACHINE_HOSTS_NOT_KEPT);
}

static void a_block_tells_where_its_machines_are(void **state)
{
	auto_machine_hosts struct machine_hosts hosts = {.origin = "/home/alice/.local/share/annex"};
	auto_text struct text here = {0}, odd = {0}, gone = {0};

	(void)state;
	machine_hosts_edit(&here, HEAD, strlen(HEAD), "alice", &hosts);
	assert_int_equal(kept(here.data, "alice"), MACHINE_HOSTS_KEPT_ELSEWHERE);
	assert_int_equal(machine_hosts_kept(here.data, here.size, "alice", hosts.origin), MACHINE_HOSTS_KEPT_HERE);
	machine_hosts_edit(&gone, here.data, here.size, "alice", NULL);
	assert_string_equal(gone.data, HEAD);
	/* A path that is no line can't be told. */
	hosts.origin = "/home/x\ny";
	machine_hosts_edit(&odd, HEAD, strlen(HEAD), "alice", &hosts);
	assert_int_equal(kept(odd.data, "alice"), MACHINE_HOSTS_KEPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_is_added_at_the_end),
		cmocka_unit_test(a_block_that_is_there_is_changed_in_its_place),
		cmocka_unit_test(a_block_is_taken_out),
		cmocka_unit_test(what_others_wrote_stays_byte_for_byte),
		cmocka_unit_test(two_blocks_of_one_user_become_one),
		cmocka_unit_test(a_name_of_something_else_is_not_given_bare),
		cmocka_unit_test(names_are_compared_as_resolvers_do),
		cmocka_unit_test(only_lines_of_annex_are_taken),
		cmocka_unit_test(a_block_is_a_users),
		cmocka_unit_test(a_block_tells_where_its_machines_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
