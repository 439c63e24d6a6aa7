#include "folder.h"
#include "test.h"

#include "base/file.h"
#include "base/time.h"
#include "supervisor/outward.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct scene {
	char *folder;
	struct loop *loop;
	struct outward *outward;
	int fd; /* of the passt that is there now; -1: slirp */
	unsigned changes, broken;
	char why[256];
};

static void on_changed(int fd, void *data)
{
	struct scene *scene = data;

	cleanup_close(&scene->fd);
	scene->fd = fd < 0 ? -1 : dup(fd);
	scene->changes++;
}

static void on_broken(const struct annex_error *why, void *data)
{
	struct scene *scene = data;

	snprintf(scene->why, sizeof(scene->why), "%s", annex_error_message(why));
	scene->broken++;
}

static const struct outward_callbacks callbacks = {on_changed, on_broken};

/* passt, for this test: writes its arguments, and does what is said. */
static void put_version(const struct scene *scene, const char *version, const char *does)
{
	auto_free char *path = path_join(scene->folder, "passt"), *text = NULL;
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0 &&
		    asprintf(&text,
			     "#!/bin/sh\n[ \"$1\" = --version ] && { echo passt %s; exit; }\necho \"$@\" >&3\n%s\n",
			     version, does) > 0);
	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
	setenv("ANNEX_PASST", path, 1);
}

static void put_passt(const struct scene *scene, const char *does)
{
	put_version(scene, "2025_09_11.8a29a4f", does);
}

static int setup(void **state)
{
	static unsigned count;
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_true(asprintf(&scene->folder, "%s/%u", folder, count++) > 0);
	assert_int_equal(mkdir(scene->folder, 0755), 0);
	scene->fd = -1;
	setenv("ANNEX_TIMEOUT_SCALE", "0.01", 1);
	assert_int_equal(loop_new(&scene->loop), 0);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	unsetenv("ANNEX_TIMEOUT_SCALE");
	cleanup_close(&scene->fd);
	outward_free(scene->outward);
	loop_free(scene->loop);
	free(scene->folder);
	free(scene);
	return 0;
}

static int begin(struct scene *scene, const char *wanted, struct annex_error **err)
{
	assert_int_equal(outward_new(&scene->outward, scene->loop, wanted, 0x307, &callbacks, scene, NULL), 0);
	return outward_open(scene->outward, &scene->fd, err);
}

static void until_changes(struct scene *scene, unsigned count)
{
	while (scene->changes < count)
		assert_true(loop_turn(scene->loop, 20000));
}

static void read_arguments(const struct scene *scene, char *ret, size_t size)
{
	ssize_t n = read(scene->fd, ret, size - 1);

	assert_true(n > 0);
	ret[n] = '\0';
}

static void passt_knows_the_machine_and_listens_nowhere(void **state)
{
	struct scene *scene = *state;
	char arguments[1024];

	put_passt(scene, "read x <&3");
	assert_int_equal(begin(scene, "passt", NULL), 0);
	read_arguments(scene, arguments, sizeof(arguments));
	assert_string_equal(arguments,
			    "--foreground --fd 3 --address 198.19.3.7 --netmask 16 --gateway 198.19.255.1 "
			    "--address fd61:6e6e:6578::307 --gateway fd61:6e6e:6578::ff01 --no-dhcp --no-ndp --no-ra "
			    "--no-dhcpv6 --mtu 65520 --tcp-ports none --udp-ports none\n");
	assert_string_equal(outward_name(scene->outward), "passt");
	assert_true(outward_pid(scene->outward) > 0);
}

static void without_passt_auto_is_slirp_and_passt_fails(void **state)
{
	struct scene *scene = *state;
	auto_error struct annex_error *err = NULL;

	setenv("ANNEX_PASST", "/no/such/passt", 1);
	assert_int_equal(begin(scene, "auto", NULL), 0);
	assert_int_equal(scene->fd, -1);
	assert_string_equal(outward_name(scene->outward), "slirp");
	outward_free(scene->outward);
	assert_int_equal(begin(scene, "passt", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	assert_non_null(annex_error_hint(err));
}

static void a_passt_that_loses_data_is_taken_only_where_it_is_named(void **state)
{
	struct scene *scene = *state;

	put_version(scene, "unknown version", "read x <&3");
	assert_int_equal(begin(scene, "auto", NULL), 0);
	assert_int_equal(scene->fd, -1);
	assert_string_equal(outward_name(scene->outward), "slirp");
	outward_free(TAKE(scene->outward));
	assert_int_equal(begin(scene, "passt", NULL), 0);
	assert_true(scene->fd >= 0);
	assert_string_equal(outward_name(scene->outward), "passt");
}

static void slirp_and_none_start_nothing(void **state)
{
	struct scene *scene = *state;

	put_passt(scene, "read x <&3");
	assert_int_equal(begin(scene, "slirp", NULL), 0);
	assert_int_equal(scene->fd, -1);
	assert_string_equal(outward_name(scene->outward), "slirp");
	outward_free(scene->outward);
	assert_int_equal(begin(scene, "none", NULL), 0);
	assert_int_equal(scene->fd, -1);
	assert_string_equal(outward_name(scene->outward), "none");
}

static void a_passt_that_cannot_run_makes_auto_slirp(void **state)
{
	struct scene *scene = *state;

	unsetenv("ANNEX_TIMEOUT_SCALE");
	put_passt(scene,
		  "echo 'Failed to send 3 bytes to syslog' >&2; echo 'External interface not usable' >&2; exit 1");
	assert_int_equal(begin(scene, "auto", NULL), 0);
	until_changes(scene, 1);
	assert_int_equal(scene->fd, -1);
	assert_string_equal(outward_name(scene->outward), "slirp");
	assert_int_equal(scene->broken, 0);
}

static void a_passt_that_cannot_run_but_must_is_told_with_its_reason(void **state)
{
	struct scene *scene = *state;

	unsetenv("ANNEX_TIMEOUT_SCALE");
	put_passt(scene,
		  "echo 'External interface not usable' >&2; echo 'Failed to send 3 bytes to syslog' >&2; exit 1");
	assert_int_equal(begin(scene, "passt", NULL), 0);
	while (scene->broken == 0)
		assert_true(loop_turn(scene->loop, 20000));
	assert_string_equal(scene->why, "passt ended: External interface not usable");
	assert_string_equal(outward_name(scene->outward), "passt");
}

static void a_passt_that_is_killed_is_followed_by_another(void **state)
{
	struct scene *scene = *state;
	char arguments[1024];
	pid_t first;

	put_passt(scene, "read x <&3");
	assert_int_equal(begin(scene, "auto", NULL), 0);
	first = outward_pid(scene->outward);
	kill(first, SIGKILL);
	until_changes(scene, 1);
	assert_true(outward_pid(scene->outward) > 0 && outward_pid(scene->outward) != first);
	read_arguments(scene, arguments, sizeof(arguments));
	assert_string_equal(outward_name(scene->outward), "passt");
}

static void one_that_dies_again_and_again_makes_auto_slirp_but_not_passt(void **state)
{
	struct scene *scene = *state;

	put_passt(scene, "kill -9 $$");
	assert_int_equal(begin(scene, "auto", NULL), 0);
	until_changes(scene, OUTWARD_DEATHS_MAX + 1);
	assert_int_equal(scene->fd, -1);
	assert_string_equal(outward_name(scene->outward), "slirp");
	/* With the next annex-network it has another chance. */
	outward_close(scene->outward);
	assert_int_equal(outward_open(scene->outward, &scene->fd, NULL), 0);
	assert_true(scene->fd >= 0);
	assert_string_equal(outward_name(scene->outward), "passt");
	outward_free(TAKE(scene->outward));
	cleanup_close(&scene->fd);
	scene->changes = 0;
	assert_int_equal(begin(scene, "passt", NULL), 0);
	until_changes(scene, OUTWARD_DEATHS_MAX + 2);
	assert_string_equal(outward_name(scene->outward), "passt");
	assert_int_equal(scene->broken, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(passt_knows_the_machine_and_listens_nowhere),
		TEST(without_passt_auto_is_slirp_and_passt_fails),
		TEST(a_passt_that_loses_data_is_taken_only_where_it_is_named),
		TEST(slirp_and_none_start_nothing),
		TEST(a_passt_that_cannot_run_makes_auto_slirp),
		TEST(a_passt_that_cannot_run_but_must_is_told_with_its_reason),
		TEST(a_passt_that_is_killed_is_followed_by_another),
		TEST(one_that_dies_again_and_again_makes_auto_slirp_but_not_passt),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
