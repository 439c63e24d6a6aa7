/* What the agent writes into an image, in a folder that stands for its root: entering one needs root. */
#include "test.h"

#include "base/file.h"
#include "guest/account.h"
#include "guest/files.h"
#include "guest/inside.h"
#include "guest/program.h"
#include "guest/service.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char root[64];

static void in_root(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", root, name);
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	char path[256];
	FILE *file;

	in_root(path, sizeof(path), name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fputs(text, file) >= 0, 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void make_folder(const char *name)
{
	char path[256];

	in_root(path, sizeof(path), name);
	assert_int_equal(file_make_folders(path, 0755), 0);
}

static void expect_file(const char *name, const char *text)
{
	auto_free char *content = NULL;
	char path[256];

	in_root(path, sizeof(path), name);
	assert_int_equal(file_read(&content, NULL, AT_FDCWD, path, 1 << 20), 0);
	assert_string_equal(content, text);
}

static void expect_mode(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	char path[256];
	struct stat st;

	in_root(path, sizeof(path), name);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/annex-image-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	make_folder("etc");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return file_remove_tree(AT_FDCWD, root);
}

static int ensure(void *data, struct text *out, struct annex_error **err)
{
	(void)out;
	return account_ensure(data, err);
}

static struct account ada = {
	.name = "ada", .uid = 1000, .gid = 1001, .group = "ada", .home = "/home/ada", .shell = "/bin/none"};

static void run(inside_fn *fn, void *data)
{
	auto_error struct annex_error *err = NULL;

	if (inside_run(NULL, root, fn, data, &err) < 0)
		assert_string_equal(annex_error_message(err), "no error");
}

static void an_account_is_added_once_and_files_keep_their_modes(void **state)
{
	char path[256];

	(void)state;
	write_file("etc/passwd", "root:x:0:0::/root:/bin/sh", 0604);
	write_file("etc/group", "root:x:0:\n", 0644);
	write_file("etc/shadow", "root:*:1::::::\n", 0640);
	in_root(path, sizeof(path), "etc/shadow");
	assert_int_equal(chown(path, 0, 42), 0);
	make_folder("etc/skel/sub");
	make_folder("etc/sudoers.d");
	write_file("etc/skel/sub/.rc", "rc\n", 0600);
	for (int i = 0; i < 2; i++) {
		run(ensure, &ada);
		expect_file("etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:1000:1001::/home/ada:/bin/sh\n");
		expect_file("etc/group", "root:x:0:\nada:x:1001:\n");
		expect_mode("etc/passwd", 0604, 0, 0);
		expect_mode("etc/shadow", 0640, 0, 42);
		expect_file("etc/sudoers.d/annex-ada", "ada ALL=(ALL:ALL) NOPASSWD: ALL\n");
		expect_mode("etc/sudoers.d/annex-ada", 0440, 0, 0);
		expect_mode("home/ada", 0700, 1000, 1001);
		expect_file("home/ada/sub/.rc", "rc\n");
		expect_mode("home/ada/sub/.rc", 0600, 1000, 1001);
	}
}

static void an_account_with_the_id_is_taken_as_it_is(void **state)
{
	static const char passwd[] = "ubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n";

	(void)state;
	write_file("etc/passwd", passwd, 0644);
	make_folder("etc/sudoers.d");
	run(ensure, &ada);
	expect_file("etc/passwd", passwd);
	expect_mode("etc/sudoers.d/annex-ubuntu", 0440, 0, 0);
}

static struct account shared_ada = {.name = "ada",
				    .uid = 1000,
				    .gid = 1001,
				    .group = "ada",
				    .home = "/home/ada",
				    .home_is_shared = true,
				    .shell = "/bin/none"};

static void a_shared_home_is_not_made_and_an_own_one_later_is(void **state)
{
	char path[256];

	(void)state;
	make_folder("etc/skel");
	write_file("etc/skel/.rc", "rc\n", 0600);
	run(ensure, &shared_ada);
	expect_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:*:1000:1001::/home/ada:/bin/sh\n");
	in_root(path, sizeof(path), "home");
	assert_false(file_exists(AT_FDCWD, path));
	make_folder("home/ada"); /* what it is bound to */
	run(ensure, &shared_ada);
	expect_mode("home/ada", 0755, 0, 0);
	run(ensure, &ada);
	expect_mode("home/ada", 0700, 1000, 1001);
	expect_file("home/ada/.rc", "rc\n");
}

static void a_home_that_was_emptied_stays_so(void **state)
{
	char path[256];

	(void)state;
	make_folder("etc/skel");
	write_file("etc/skel/.rc", "rc\n", 0600);
	run(ensure, &ada);
	in_root(path, sizeof(path), "home/ada/.rc");
	assert_int_equal(unlink(path), 0);
	run(ensure, &ada);
	assert_false(file_exists(AT_FDCWD, path));
}

static void a_shared_home_is_that_of_whoever_has_the_id(void **state)
{
	(void)state;
	write_file("etc/passwd", "ubuntu:x:1000:1000:U:/home/ubuntu:/bin/sh\nlast:x:1:1::/:", 0600);
	for (int i = 0; i < 2; i++) {
		run(ensure, &shared_ada);
		expect_file("etc/passwd", "ubuntu:x:1000:1000:U:/home/ada:/bin/sh\nlast:x:1:1::/:");
		expect_mode("etc/passwd", 0600, 0, 0);
	}
}

static void a_name_that_is_taken_gets_an_ending(void **state)
{
	(void)state;
	write_file("etc/passwd", "ada:x:7:7::/:/bin/sh\n", 0644);
	write_file("etc/group", "ada:x:7:\nada-host:x:8:\n", 0644);
	run(ensure, &ada);
	expect_file("etc/passwd", "ada:x:7:7::/:/bin/sh\nada-host:*:1000:1001::/home/ada:/bin/sh\n");
	expect_file("etc/group", "ada:x:7:\nada-host:x:8:\nannex-1001:x:1001:\n");
}

static void an_image_without_any_file_gets_them(void **state)
{
	(void)state;
	run(ensure, &ada);
	expect_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nada:*:1000:1001::/home/ada:/bin/sh\n");
	expect_file("etc/group", "ada:x:1001:\n");
}

static int names(void *data, struct text *out, struct annex_error **err)
{
	auto_free char *hostname = NULL;

	if (files_write(&hostname, data, "10.0.2.3, 1.1.1.1", err) < 0)
		return -1;
	text_add(out, hostname);
	return 0;
}

static void expect_name(const char *given, const char *effective)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *answer = NULL, *copy = strdup(given);

	assert_int_equal(inside_run(&answer, root, names, copy, &err), 0);
	assert_string_equal(answer, effective);
}

static void the_host_name_follows_until_its_owner_changes_it(void **state)
{
	(void)state;
	write_file("etc/hostname", "buildkit\n", 0644);
	expect_name("box", "box");
	expect_file("etc/hostname", "box\n");
	expect_name("crate", "crate");
	expect_file("etc/hostname", "crate\n");
	write_file("etc/hostname", "mine\n", 0644);
	expect_name("box", "mine");
	expect_file("etc/hostname", "mine\n");
}

static void the_resolver_is_ours_only_while_it_says_so(void **state)
{
	static const char ours[] = "# Written by annex at each start. Remove this line to keep your own changes.\n"
				   "nameserver 10.0.2.3\nnameserver 1.1.1.1\n";
	char path[256];

	(void)state;
	in_root(path, sizeof(path), "etc/resolv.conf");
	assert_int_equal(symlink("/run/systemd/resolve/stub-resolv.conf", path), 0);
	expect_name("box", "box");
	expect_file("etc/resolv.conf", ours);
	write_file("etc/resolv.conf", "nameserver 9.9.9.9\n", 0644);
	expect_name("box", "box");
	expect_file("etc/resolv.conf", "nameserver 9.9.9.9\n");
	write_file("etc/resolv.conf", "", 0644);
	expect_name("box", "box");
	expect_file("etc/resolv.conf", ours);
}

static void mounts_are_listed_where_old_programs_look_unless_the_image_says_otherwise(void **state)
{
	char path[256], target[64] = "";

	(void)state;
	expect_name("box", "box");
	in_root(path, sizeof(path), "etc/mtab");
	assert_int_equal(readlink(path, target, sizeof(target)), strlen("/proc/mounts"));
	assert_string_equal(target, "/proc/mounts");
	assert_int_equal(unlink(path), 0);
	write_file("etc/mtab", "of the image\n", 0644);
	expect_name("box", "box");
	expect_file("etc/mtab", "of the image\n");
}

static int choose(void *data, struct text *out, struct annex_error **err)
{
	const char *const *words = data;
	auto_free char *path = NULL, *real = NULL;
	bool is_command = false;

	if (program_choose(&path, &real, &is_command, words[0], words[1], err) < 0)
		return -1;
	text_printf(out, "%s %s %d", path, real, is_command);
	return 0;
}

static void expect_init(const char *mode, const char *command, const char *wanted)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *answer = NULL;

	if (inside_run(&answer, root, choose, (const char *[]){mode, command}, &err) < 0)
		assert_string_equal(annex_error_message(err), wanted);
	else
		assert_string_equal(answer, wanted);
}

static void the_init_is_the_command_or_found_or_built_in(void **state)
{
	char path[256];

	(void)state;
	expect_init("auto", NULL, "annex-init annex-init 0");
	expect_init("image", NULL, "the image has no init");
	make_folder("sbin");
	make_folder("lib/systemd");
	write_file("lib/systemd/systemd", "", 0755);
	expect_init("auto", "/bin/sh", "/lib/systemd/systemd /lib/systemd/systemd 0");
	in_root(path, sizeof(path), "sbin/init");
	assert_int_equal(symlink("/lib/systemd/systemd", path), 0);
	expect_init("image", NULL, "/sbin/init /lib/systemd/systemd 0");
	expect_init("auto", "/lib/systemd/systemd", "/lib/systemd/systemd /lib/systemd/systemd 1");
	expect_init("auto", "/init", "/sbin/init /lib/systemd/systemd 0"); /* named, but not there */
	expect_init("builtin", "/sbin/init", "annex-init annex-init 0");
}

static void an_init_that_cannot_be_used_is_not_passed_over(void **state)
{
	char path[256];

	(void)state;
	make_folder("sbin");
	make_folder("etc/init"); /* of Upstart's jobs, which packages still bring */
	expect_init("auto", NULL, "annex-init annex-init 0");
	in_root(path, sizeof(path), "sbin/init");
	assert_int_equal(symlink("/lib/systemd/systemd", path), 0);
	expect_init("auto", NULL, "the image's init /sbin/init is a link to nothing");
	expect_init("builtin", NULL, "annex-init annex-init 0");
	assert_int_equal(unlink(path), 0);
	make_folder("sbin/init");
	expect_init("auto", "/sbin/init", "the image's init /sbin/init is a folder");
	assert_int_equal(rmdir(path), 0);
	write_file("sbin/init", "", 0644);
	expect_init("auto", NULL, "the image's init /sbin/init is not executable");
	expect_init("image", "/bin/s6-svscan", "the image's init /bin/s6-svscan is not there");
}

static int check_service(void *data, struct text *out, struct annex_error **err)
{
	(void)out;
	return service_check(data, err);
}

static void expect_service(const char *user, const char *program, const char *wanted)
{
	const char *const environment[] = {"PATH=/opt/bin:/bin", NULL}, *const argv[] = {program, "-x", NULL};
	struct message_config config = {
		.environment = environment, .init_argv = argv, .service_user = user, .service_folder = ""};
	auto_error struct annex_error *err = NULL;

	if (inside_run(NULL, root, check_service, &config, &err) < 0)
		assert_string_equal(annex_error_message(err), wanted);
	else
		assert_null(wanted);
}

static void a_service_that_cannot_run_is_told_before_the_start(void **state)
{
	(void)state;
	make_folder("opt/bin");
	write_file("etc/passwd", "app:x:12:34::/srv:/bin/sh\n", 0644);
	write_file("opt/bin/server", "", 0755);
	write_file("opt/bin/text", "", 0644);
	expect_service("", "server", NULL);
	expect_service("app", "/opt/bin/server", NULL);
	expect_service("99:98", "./relative", NULL);
	expect_service("nobody", "server", "the image's service: there is no user nobody in the machine");
	expect_service("", "text", "the image's service: text: no such program in the image");
	expect_service("", "/bin/none", "the image's service: /bin/none: no such program in the image");
	expect_service("", NULL, "the image has no command to run as a service");
}

#define IMAGE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IMAGE_TEST(an_account_is_added_once_and_files_keep_their_modes),
		IMAGE_TEST(an_account_with_the_id_is_taken_as_it_is),
		IMAGE_TEST(a_shared_home_is_not_made_and_an_own_one_later_is),
		IMAGE_TEST(a_home_that_was_emptied_stays_so),
		IMAGE_TEST(a_shared_home_is_that_of_whoever_has_the_id),
		IMAGE_TEST(a_name_that_is_taken_gets_an_ending),
		IMAGE_TEST(an_image_without_any_file_gets_them),
		IMAGE_TEST(the_host_name_follows_until_its_owner_changes_it),
		IMAGE_TEST(the_resolver_is_ours_only_while_it_says_so),
		IMAGE_TEST(mounts_are_listed_where_old_programs_look_unless_the_image_says_otherwise),
		IMAGE_TEST(the_init_is_the_command_or_found_or_built_in),
		IMAGE_TEST(an_init_that_cannot_be_used_is_not_passed_over),
		IMAGE_TEST(a_service_that_cannot_run_is_told_before_the_start),
	};

	if (geteuid() != 0) {
		printf("1..0 # SKIP an image's root folder can be entered, and files given away, by root only\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
