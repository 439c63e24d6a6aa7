/* What the agent writes into an image, in a folder that stands for its root: entering one needs root. */
#include "image-root.h"

#include "guest/containers.h"
#include "guest/files.h"
#include "guest/program.h"
#include "guest/service.h"

static int names(void *data, struct text *out, struct annex_error **err)
{
	auto_free char *hostname = NULL;

	if (files_write(&hostname, &(struct files_names){.name = data, .domain = "", .address = "", .address6 = ""},
			err) < 0)
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

/* What it is told of an image goes by lines: a name of two would shift all that follows. */
static void a_host_name_is_read_as_others_read_it(void **state)
{
	static const char long_name[] = "a1234567890123456789012345678901234567890123456789012345678901234";

	(void)state;
	expect_name("box", "box");
	write_file("etc/hostname", "# ours\n\n mine \nother\n", 0644);
	expect_name("box", "mine");
	expect_file("etc/hostname", "# ours\n\n mine \nother\n");
	write_file("etc/hostname", long_name, 0644);
	expect_name("box", "box");
	expect_file("etc/hostname", long_name);
	write_file("etc/hostname", "# nothing\n", 0644);
	expect_name("box", "box");
	write_file("etc/hostname", "\n", 0644);
	expect_name("box", "box");
	expect_file("etc/hostname", "box\n");
}

static void a_pipe_in_the_place_of_a_file_is_not_waited_for(void **state)
{
	auto_error struct annex_error *err = NULL;
	char path[256], name[] = "box";

	(void)state;
	in_root(path, sizeof(path), "etc/hostname");
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_int_equal(inside_run(NULL, root, names, name, &err), -1);
	assert_string_equal(annex_error_message(err), "/etc/hostname of the image is not a file");
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

static int make_folders(void *data, struct text *out, struct annex_error **err)
{
	(void)data;
	(void)out;
	return files_make_folders(err);
}

static void folders_that_are_missing_are_made(void **state)
{
	auto_error struct annex_error *err = NULL;
	char path[256];

	(void)state;
	in_root(path, sizeof(path), "run");
	assert_int_equal(symlink("var/run", path), 0);
	make_folder("tmp");
	for (int i = 0; i < 2; i++)
		run(make_folders, NULL);
	expect_mode("proc", 0755, 0, 0);
	expect_mode("var/run", 0755, 0, 0);
	expect_mode("tmp", 0755, 0, 0);
	expect_mode("var/tmp", 01777, 0, 0);
	expect_mode("root", 0700, 0, 0);
	in_root(path, sizeof(path), "sys");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("sys", path), 0);
	assert_int_equal(inside_run(NULL, root, make_folders, NULL, &err), -1);
	assert_string_equal(annex_error_message(err),
			    "cannot make /sys of the image: Too many levels of symbolic links");
}

static int keep_containers(void *data, struct text *out, struct annex_error **err)
{
	(void)data;
	(void)out;
	return containers_keep_on_disk(1000, 1001, err);
}

static void the_users_containers_have_a_folder_that_is_nobody_elses(void **state)
{
	auto_error struct annex_error *err = NULL;
	char path[256];

	(void)state;
	for (int i = 0; i < 2; i++)
		run(keep_containers, NULL);
	expect_mode("var/lib/annex/containers", 01777, 0, 0);
	expect_mode("var/lib/annex/containers/1000", 0700, 1000, 1001);
	in_root(path, sizeof(path), "var/lib/annex/containers/1000");
	assert_int_equal(chown(path, 2000, 2000), 0);
	assert_int_equal(inside_run(NULL, root, keep_containers, NULL, &err), -1);
	assert_string_equal(annex_error_message(err), "cannot make /var/lib/annex/containers: File exists");
	write_file("etc/containers/storage.conf", "# mine\n", 0644);
	run(keep_containers, NULL);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		IMAGE_TEST(the_host_name_follows_until_its_owner_changes_it),
		IMAGE_TEST(a_host_name_is_read_as_others_read_it),
		IMAGE_TEST(a_pipe_in_the_place_of_a_file_is_not_waited_for),
		IMAGE_TEST(mounts_are_listed_where_old_programs_look_unless_the_image_says_otherwise),
		IMAGE_TEST(folders_that_are_missing_are_made),
		IMAGE_TEST(the_users_containers_have_a_folder_that_is_nobody_elses),
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
