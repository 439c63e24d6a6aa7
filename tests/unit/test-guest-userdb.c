/* The texts of account files, changed in memory. */
#include "test.h"

#include "guest/privilege.h"
#include "guest/reconcile.h"
#include "guest/shell.h"
#include "guest/subid.h"
#include "guest/username.h"

#include <string.h>

static struct userdb db;

static int clear(void **state)
{
	(void)state;
	userdb_clear(&db);
	return 0;
}

static void put_bytes(enum userdb_file file, const char *bytes, size_t size)
{
	text_clear(&db.tables[file].text);
	text_add_bytes(&db.tables[file].text, bytes, size);
	db.tables[file].there = true;
	db.tables[file].changed = false;
}

static void put(enum userdb_file file, const char *text)
{
	put_bytes(file, text, strlen(text));
}

static void expect(enum userdb_file file, const char *text)
{
	assert_true(userdb_ok(&db));
	assert_string_equal(db.tables[file].text.data ? db.tables[file].text.data : "", text);
}

static void a_line_is_added_behind_a_whole_one(void **state)
{
	(void)state;
	put(USERDB_GROUP, "a:x:1:");
	userdb_add(&db, USERDB_GROUP, "b:x:2:");
	expect(USERDB_GROUP, "a:x:1:\nb:x:2:\n");
	put(USERDB_GROUP, "");
	userdb_add(&db, USERDB_GROUP, "b:x:2:");
	expect(USERDB_GROUP, "b:x:2:\n");
}

static void lines_that_include_others_stay_behind_it(void **state)
{
	(void)state;
	put(USERDB_PASSWD, "root:x:0:0::/:/bin/sh\n# the rest\n-bad::::::\n+::::::\n");
	userdb_add(&db, USERDB_PASSWD, "ada:x:1:1::/:");
	expect(USERDB_PASSWD, "root:x:0:0::/:/bin/sh\n# the rest\nada:x:1:1::/:\n-bad::::::\n+::::::\n");
	put(USERDB_PASSWD, "+");
	userdb_add(&db, USERDB_PASSWD, "ada:x:1:1::/:");
	expect(USERDB_PASSWD, "ada:x:1:1::/:\n+");
}

static void a_field_is_set_and_nothing_else_is_touched(void **state)
{
	static const char before[] =
		"root:x:0:0:root:/root:/bin/sh\r\n# ubuntu:x:1:\n\nubuntu:short\n"
		"ubuntu:x:1000:1000:Ubuntu,,:/home/ubuntu:/bin/sh\nubuntu:x:2:2::/b:\nlast:x:1:1::/:";
	static const char after[] = "root:x:0:0:root:/root:/bin/sh\r\n# ubuntu:x:1:\n\nubuntu:short\n"
				    "ubuntu:x:1000:1000:Ubuntu,,:/home/ada:/bin/sh\nubuntu:x:2:2::/b:\nlast:x:1:1::/:";

	(void)state;
	put(USERDB_PASSWD, before);
	userdb_set(&db, USERDB_PASSWD, "ubuntu", PASSWD_HOME, "/home/ubuntu");
	userdb_set(&db, USERDB_PASSWD, "nobody", PASSWD_HOME, "/");
	assert_false(db.tables[USERDB_PASSWD].changed);
	userdb_set(&db, USERDB_PASSWD, "ubuntu", PASSWD_HOME, "/home/ada");
	expect(USERDB_PASSWD, after);
	assert_true(userdb_changed(&db));
}

static void bytes_that_are_no_text_stay_where_they_are(void **state)
{
	static const char before[] = "root:x:0:0::/:\n\0\0\0\n\xff\xfe:x:9:9::/:\nada\0:x:5:5::/:\nada:x:6:6::/:\n\0";
	static const char after[] =
		"root:x:0:0::/:\n\0\0\0\n\xff\xfe:x:9:9::/:\nada\0:x:5:5::/:\nada:x:7:6::/:\n\0\nbob:x:8:8::/:\n";
	struct entry entry;

	(void)state;
	put_bytes(USERDB_PASSWD, before, sizeof(before) - 1);
	userdb_set(&db, USERDB_PASSWD, "ada", PASSWD_UID, "7");
	userdb_add(&db, USERDB_PASSWD, "bob:x:8:8::/:");
	assert_int_equal(db.tables[USERDB_PASSWD].text.size, sizeof(after) - 1);
	assert_memory_equal(db.tables[USERDB_PASSWD].text.data, after, sizeof(after) - 1);
	assert_false(userdb_find_id(&entry, &db, USERDB_PASSWD, 5));
	assert_true(userdb_find_id(&entry, &db, USERDB_PASSWD, 9));
}

static void members_get_another_name_beside_theirs_once(void **state)
{
	(void)state;
	put(USERDB_GROUP, "a:x:1:ubuntu\nb:x:2:x,ubuntu,y\nc:x:3:ada,ubuntu\nd:x:4:ubuntu,ada\ne:x:5:ubuntux\nf:x:6:\n"
			  "g:x:7:ubuntu,ubuntu\nbad:x:ubuntu\n");
	put(USERDB_GSHADOW, "a:!:ubuntu:x,ubuntu\nb:!::ubuntu\n");
	for (int i = 0; i < 2; i++)
		userdb_join(&db, "ubuntu", "ada");
	expect(USERDB_GROUP,
	       "a:x:1:ubuntu,ada\nb:x:2:x,ubuntu,y,ada\nc:x:3:ada,ubuntu\nd:x:4:ubuntu,ada\ne:x:5:ubuntux\n"
	       "f:x:6:\ng:x:7:ubuntu,ubuntu,ada\nbad:x:ubuntu\n");
	expect(USERDB_GSHADOW, "a:!:ubuntu,ada:x,ubuntu,ada\nb:!::ubuntu,ada\n");
	put(USERDB_GROUP, "a:x:1:\nb:x:2:x\nbad:x:\n");
	put(USERDB_GSHADOW, "a:!::\nb:!:x:\n");
	for (int i = 0; i < 2; i++) {
		userdb_add_member(&db, "a", "ada");
		userdb_add_member(&db, "b", "ada");
		userdb_add_member(&db, "none", "ada");
		userdb_add_member(&db, "bad", "ada");
	}
	expect(USERDB_GROUP, "a:x:1:ada\nb:x:2:x,ada\nbad:x:\n");
	expect(USERDB_GSHADOW, "a:!::ada\nb:!:x:ada\n");
}

static void a_line_is_copied_for_another_name_before_it(void **state)
{
	(void)state;
	put(USERDB_PASSWD, "root:x:0:0::/:\nubuntu:x:1:1:U:/h:/bin/sh");
	for (int i = 0; i < 2; i++) {
		userdb_copy(&db, USERDB_PASSWD, "ubuntu", "ada");
		userdb_copy(&db, USERDB_PASSWD, "nobody", "eve");
		expect(USERDB_PASSWD, "root:x:0:0::/:\nada:x:1:1:U:/h:/bin/sh\nubuntu:x:1:1:U:/h:/bin/sh");
	}
}

static void subordinate_ids_are_nobody_elses(void **state)
{
	(void)state;
	put(USERDB_SUBUID, "bob:165536:65536\nold:100000:65536\n# c\nbad:1\n");
	put(USERDB_SUBGID, "bob:231072:10\n");
	subid_add(&db, "ada", 1000);
	expect(USERDB_SUBUID, "bob:165536:65536\nold:100000:65536\n# c\nbad:1\nada:231082:65536\n");
	expect(USERDB_SUBGID, "bob:231072:10\nada:231082:65536\n");
	subid_add(&db, "ada", 1000);
	subid_add(&db, "other name", 1000);
	expect(USERDB_SUBGID, "bob:231072:10\nada:231082:65536\nother name:296618:65536\n");
	put(USERDB_SUBUID, "1000:5:7\n");
	put(USERDB_SUBGID, "");
	put(USERDB_PASSWD, "corp:x:100000:1::/:\n");
	subid_add(&db, "ada", 1000);
	expect(USERDB_SUBUID, "1000:5:7\n");
	expect(USERDB_SUBGID, "ada:100001:65536\n");
	put(USERDB_SUBUID, "all:0:4294967295\n");
	subid_add(&db, "eve", 1002);
	expect(USERDB_SUBUID, "all:0:4294967295\n");
}

static void expect_fit(const char *name, const char *wanted)
{
	auto_free char *made = username_fit(name, "user");

	assert_string_equal(made, wanted);
}

static void names_of_the_host_fit_a_machine(void **state)
{
	(void)state;
	expect_fit("ada", "ada");
	expect_fit("Ada.Lovelace", "Ada.Lovelace");
	expect_fit("_ada-1", "_ada-1");
	expect_fit("3d", "3d");
	expect_fit("1000", "_1000");
	expect_fit("-ada", "_-ada");
	expect_fit("..", "_..");
	expect_fit("ada@corp.example", "ada");
	expect_fit("CORP\\ada", "ada");
	expect_fit("CORP\\ada@example", "ada");
	expect_fit("@", "__");
	expect_fit("\\", "__");
	expect_fit("", "user");
	expect_fit("ada lovelace:x,y/z+$", "ada_lovelace_x_y_z__");
	expect_fit("a\nb", "a_b");
	expect_fit("domain users@corp", "domain_users");
	expect_fit("\xc3\xa4rger", "___rger");
	expect_fit("abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz012345");
}

static void settings_of_shells_are_read_like_a_shell_does(void **state)
{
	static const struct {
		const char *text, *wanted;
	} rows[] = {
		{"SHELL=/bin/zsh\n", "/bin/zsh"},
		{"# SHELL=/bin/no\n SHELL=\"/bin/a b\" # c\n", "/bin/a b"},
		{"SHELLS=/x\nSHELL='/bin/c'", "/bin/c"},
		{"SHELL=/bin/x # why\n", "/bin/x"},
		{"SHELL=", ""},
		{"DSHELL=/bin/no\n", NULL},
		{"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_free char *value = shell_setting(rows[i].text, "SHELL");

		assert_true(text_equal(value, rows[i].wanted));
	}
}

#define KEEPING                                                                                     \
	"permit nopass setenv { SSH_AUTH_SOCK http_proxy https_proxy ftp_proxy all_proxy no_proxy " \
	"HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY } "

static void rules_of_doas_are_quoted_where_they_must(void **state)
{
	static const char *const rows[][2] = {
		{"ada", KEEPING "ada\n"},
		{"Ada.L-1", KEEPING "Ada.L-1\n"},
		{"as", KEEPING "\"as\"\n"},
		{"a b\"\\", KEEPING "\"a b\\\"\\\\\"\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		auto_text struct text rule = {0};

		privilege_doas_rule(&rule, rows[i][0]);
		assert_string_equal(rule.data, rows[i][1]);
	}
}

static void an_include_of_sudoers_is_told_from_comments(void **state)
{
	static const char *const yes[] = {"@includedir /etc/sudoers.d\n", "Defaults x\n#includedir /etc/sudoers.d",
					  " @includedir\t\"/etc/sudoers.d/\"\n"};
	static const char *const no[] = {"",
					 "# @includedir /etc/sudoers.d\n",
					 "@includedir /etc/sudoers.dist\n",
					 "@includedirs /etc/sudoers.d\n",
					 "@includedir\n/etc/sudoers.d\n",
					 "@include /etc/sudoers.d\n"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(yes); i++)
		assert_true(privilege_includes(yes[i]));
	for (size_t i = 0; i < COUNT_OF(no); i++)
		assert_false(privilege_includes(no[i]));
}

/* Who is who. */

static bool works(const char *path)
{
	return strcmp(path, "/bin/sh") == 0 || strcmp(path, "/bin/zsh") == 0;
}

static const struct reconcile_wish ada = {.name = "ada",
					  .group = "ada",
					  .uid = 1000,
					  .gid = 1000,
					  .home = "/home/ada",
					  .shell = "/bin/zsh",
					  .today = 20000,
					  .shell_works = works};

static void settle(struct reconcile_result *ret, const struct reconcile_wish *wish)
{
	struct reconcile_result again = {0};
	struct reconcile_wish later = *wish;

	assert_int_equal(reconcile(ret, &db, wish), 0);
	/* A later start, or one that follows an interrupted one, finds nothing to do. */
	for (int i = 0; i < 2; i++) {
		for (size_t j = 0; j < USERDB_COUNT; j++)
			db.tables[j].changed = false;
		later.is_settled = wish->is_settled || i > 0;
		assert_int_equal(reconcile(&again, &db, &later), 0);
		assert_false(userdb_changed(&db));
		assert_string_equal(again.name, ret->name);
		assert_string_equal(again.home, ret->home);
		assert_null(again.old_home);
		reconcile_clear(&again);
	}
}

static void ubuntu(void)
{
	put(USERDB_PASSWD, "root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash\n");
	put(USERDB_SHADOW, "root:*:1:0:99999:7:::\nubuntu:!:1:0:99999:7:::\n");
	put(USERDB_GROUP, "root:x:0:\nadm:x:4:syslog,ubuntu\nsudo:x:27:ubuntu\nusers:x:100:\nubuntu:x:1000:\n");
	put(USERDB_GSHADOW, "root:*::\nadm:*::syslog,ubuntu\nsudo:*::ubuntu\nubuntu:!::\n");
	put(USERDB_SUBUID, "ubuntu:100000:65536\n");
	put(USERDB_SUBGID, "ubuntu:100000:65536\n");
}

static void an_account_with_the_id_gets_the_hosts_name_and_keeps_its_groups(void **state)
{
	auto_reconcile struct reconcile_result result = {0};

	(void)state;
	ubuntu();
	settle(&result, &ada);
	expect(USERDB_PASSWD, "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000:Ubuntu:/home/ada:/bin/zsh\n"
			      "ubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash\n");
	expect(USERDB_SHADOW, "root:*:1:0:99999:7:::\nada:!:1:0:99999:7:::\nubuntu:!:1:0:99999:7:::\n");
	expect(USERDB_GROUP, "root:x:0:\nadm:x:4:syslog,ubuntu,ada\nsudo:x:27:ubuntu,ada\nusers:x:100:\nada:x:1000:"
			     "\nubuntu:x:1000:\n");
	expect(USERDB_GSHADOW, "root:*::\nadm:*::syslog,ubuntu,ada\nsudo:*::ubuntu,ada\nada:!::\nubuntu:!::\n");
	expect(USERDB_SUBUID, "ada:100000:65536\nubuntu:100000:65536\n");
	assert_string_equal(result.name, "ada");
	assert_string_equal(result.home, "/home/ada");
	assert_string_equal(result.old_home, "/home/ubuntu");
}

static void a_group_of_the_host_becomes_the_first_one_and_the_old_one_is_kept(void **state)
{
	auto_reconcile struct reconcile_result result = {0};
	struct reconcile_wish wish = ada;

	(void)state;
	ubuntu();
	wish.group = "people";
	wish.gid = 100;
	settle(&result, &wish);
	expect(USERDB_PASSWD, "root:x:0:0:root:/root:/bin/bash\nada:x:1000:100:Ubuntu:/home/ada:/bin/zsh\n"
			      "ubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash\n");
	expect(USERDB_GROUP,
	       "root:x:0:\nadm:x:4:syslog,ubuntu,ada\nsudo:x:27:ubuntu,ada\nusers:x:100:\nubuntu:x:1000:ada\n");
	assert_int_equal(result.gid, 100);
}

static void what_was_settled_once_stays(void **state)
{
	auto_reconcile struct reconcile_result result = {0};
	struct reconcile_wish wish = ada;

	(void)state;
	ubuntu();
	wish.is_settled = true;
	assert_int_equal(reconcile(&result, &db, &wish), 0);
	assert_string_equal(result.name, "ubuntu");
	assert_string_equal(result.home, "/home/ubuntu");
	/* But for a shell that is gone. */
	expect(USERDB_PASSWD, "root:x:0:0:root:/root:/bin/bash\nubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/zsh\n");
	expect(USERDB_GROUP, "root:x:0:\nadm:x:4:syslog,ubuntu\nsudo:x:27:ubuntu\nusers:x:100:\nubuntu:x:1000:\n");
}

static void a_shared_home_is_that_of_whoever_has_the_id(void **state)
{
	auto_reconcile struct reconcile_result result = {0};
	struct reconcile_wish wish = ada;

	(void)state;
	ubuntu();
	wish.is_settled = wish.home_is_shared = true;
	settle(&result, &wish);
	assert_string_equal(result.name, "ubuntu");
	assert_string_equal(result.home, "/home/ada");
	assert_null(result.old_home);
}

static void a_home_whose_place_is_taken_stays(void **state)
{
	auto_reconcile struct reconcile_result result = {0};
	struct reconcile_wish wish = ada;

	(void)state;
	ubuntu();
	wish.home_is_taken = true;
	settle(&result, &wish);
	assert_string_equal(result.name, "ada");
	assert_string_equal(result.home, "/home/ubuntu");
	assert_null(result.old_home);
}

static void accounts_of_the_system_are_left_as_they_are(void **state)
{
	static const char passwd[] = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n";
	auto_reconcile struct reconcile_result result = {0}, other = {0};
	struct reconcile_wish wish = ada;

	(void)state;
	put(USERDB_PASSWD, passwd);
	put(USERDB_GROUP, "root:x:0:\nwww-data:x:33:\n");
	wish.uid = 33;
	settle(&result, &wish);
	assert_string_equal(result.name, "www-data");
	expect(USERDB_PASSWD, "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/zsh\n");
	expect(USERDB_GROUP, "root:x:0:\nwww-data:x:33:\n");
	put(USERDB_PASSWD, passwd);
	wish.uid = 1000;
	wish.name = "www-data";
	wish.home = "/home/www-data";
	settle(&other, &wish);
	assert_string_equal(other.name, "www-data-host");
	expect(USERDB_PASSWD, "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"
			      "www-data-host:*:1000:1000::/home/www-data:/bin/zsh\n");
}

static void a_person_of_that_name_gets_the_hosts_ids(void **state)
{
	auto_reconcile struct reconcile_result result = {0};

	(void)state;
	put(USERDB_PASSWD, "root:x:0:0::/root:/bin/sh\nada:x:1005:1005:A:/home/ada:/bin/sh\n");
	put(USERDB_GROUP, "root:x:0:\nwheel:x:10:root\nada:x:1005:\nextra:x:50:ada\n");
	settle(&result, &ada);
	expect(USERDB_PASSWD, "root:x:0:0::/root:/bin/sh\nada:x:1000:1000:A:/home/ada:/bin/sh\n");
	expect(USERDB_GROUP, "root:x:0:\nwheel:x:10:root,ada\nada:x:1000:\nextra:x:50:ada\n");
	assert_true(result.renumbered);
	assert_int_equal(result.old_uid, 1005);
	assert_int_equal(result.old_gid, 1005);
}

static void a_person_whose_group_others_have_keeps_it_beside_the_hosts(void **state)
{
	auto_reconcile struct reconcile_result result = {0};

	(void)state;
	put(USERDB_PASSWD,
	    "root:x:0:0::/root:/bin/sh\nada:x:1005:1005:A:/home/ada:/bin/sh\nbob:x:1006:1005::/:/bin/sh\n");
	put(USERDB_GROUP, "root:x:0:\nada:x:1005:\n");
	settle(&result, &ada);
	expect(USERDB_PASSWD,
	       "root:x:0:0::/root:/bin/sh\nada:x:1000:1000:A:/home/ada:/bin/sh\nbob:x:1006:1005::/:/bin/sh\n");
	expect(USERDB_GROUP, "root:x:0:\nada:x:1005:ada\nada-host:x:1000:\n");
}

static void a_group_that_another_line_of_its_name_hides_keeps_its_id(void **state)
{
	auto_reconcile struct reconcile_result result = {0};

	(void)state;
	put(USERDB_PASSWD, "root:x:0:0::/root:/bin/sh\nada:x:1005:1005:A:/home/ada:/bin/sh\n");
	put(USERDB_GROUP, "ada:x:0:\nada:x:1005:\n");
	settle(&result, &ada);
	expect(USERDB_GROUP, "ada:x:0:\nada:x:1005:\nada-host:x:1000:\n");
}

static void with_both_the_one_that_holds_the_id_keeps_its_name(void **state)
{
	auto_reconcile struct reconcile_result result = {0};

	(void)state;
	ubuntu();
	userdb_add(&db, USERDB_PASSWD, "ada:x:1005:1005:A:/home/ada:/bin/sh");
	settle(&result, &ada);
	assert_string_equal(result.name, "ubuntu");
	assert_string_equal(result.home, "/home/ubuntu");
}

static void an_account_that_nobody_logs_in_to_gets_home_and_shell(void **state)
{
	auto_reconcile struct reconcile_result result = {0};

	(void)state;
	put(USERDB_PASSWD, "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/nonexistent:/sbin/nologin\n");
	put(USERDB_GROUP, "root:x:0:\napp:x:1000:\n");
	put(USERDB_SHADOW, "root:*:1::::::\n");
	settle(&result, &ada);
	expect(USERDB_PASSWD, "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/zsh\n"
			      "app:x:1000:1000::/nonexistent:/sbin/nologin\n");
	expect(USERDB_SHADOW, "root:*:1::::::\nada:!*:20000:0:99999:7:::\n");
	assert_null(result.old_home);
}

static void files_that_are_missing_or_garbage_get_what_is_needed(void **state)
{
	auto_reconcile struct reconcile_result none = {0}, garbage = {0};

	(void)state;
	settle(&none, &ada);
	expect(USERDB_PASSWD, "root:x:0:0:root:/root:/bin/sh\nada:*:1000:1000::/home/ada:/bin/zsh\n");
	expect(USERDB_GROUP, "root:x:0:\nada:x:1000:\n");
	expect(USERDB_SHADOW, "");
	put(USERDB_PASSWD, "\x7f"
			   "ELF::\n:::::::\nada:x:12:\nroot\n+::::::\n");
	settle(&garbage, &ada);
	expect(USERDB_PASSWD, "\x7f"
			      "ELF::\n:::::::\nada:x:12:\nroot\nroot:x:0:0:root:/root:/bin/sh\n"
			      "ada:*:1000:1000::/home/ada:/bin/zsh\n+::::::\n");
}

#define DB_TEST(name) cmocka_unit_test_setup_teardown(name, clear, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(a_line_is_added_behind_a_whole_one),
		DB_TEST(lines_that_include_others_stay_behind_it),
		DB_TEST(a_field_is_set_and_nothing_else_is_touched),
		DB_TEST(bytes_that_are_no_text_stay_where_they_are),
		DB_TEST(a_line_is_copied_for_another_name_before_it),
		DB_TEST(members_get_another_name_beside_theirs_once),
		DB_TEST(subordinate_ids_are_nobody_elses),
		DB_TEST(names_of_the_host_fit_a_machine),
		DB_TEST(settings_of_shells_are_read_like_a_shell_does),
		DB_TEST(rules_of_doas_are_quoted_where_they_must),
		DB_TEST(an_include_of_sudoers_is_told_from_comments),
		DB_TEST(an_account_with_the_id_gets_the_hosts_name_and_keeps_its_groups),
		DB_TEST(a_group_of_the_host_becomes_the_first_one_and_the_old_one_is_kept),
		DB_TEST(what_was_settled_once_stays),
		DB_TEST(a_shared_home_is_that_of_whoever_has_the_id),
		DB_TEST(a_home_whose_place_is_taken_stays),
		DB_TEST(accounts_of_the_system_are_left_as_they_are),
		DB_TEST(a_person_of_that_name_gets_the_hosts_ids),
		DB_TEST(a_person_whose_group_others_have_keeps_it_beside_the_hosts),
		DB_TEST(a_group_that_another_line_of_its_name_hides_keeps_its_id),
		DB_TEST(with_both_the_one_that_holds_the_id_keeps_its_name),
		DB_TEST(an_account_that_nobody_logs_in_to_gets_home_and_shell),
		DB_TEST(files_that_are_missing_or_garbage_get_what_is_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
