#include "folder.h"
#include "test.h"

#include "base/file.h"
#include "base/time.h"
#include "supervisor/hostnames.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct scene {
	char *folder;
	struct loop *loop;
	struct hostnames *names;
	unsigned resolves, searches;
};

static void on_changed(bool resolve, bool search, void *data)
{
	struct scene *scene = data;

	scene->resolves += resolve;
	scene->searches += search;
}

static char *path(const struct scene *scene, const char *name)
{
	return path_join(scene->folder, name);
}

static void put(const struct scene *scene, const char *name, const char *text)
{
	auto_free char *file = path(scene, name);
	auto_close int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
}

static void replace(const struct scene *scene, const char *name, const char *text)
{
	auto_free char *from = path(scene, "new"), *to = path(scene, name);

	put(scene, "new", text);
	assert_int_equal(rename(from, to), 0);
}

static void point(const struct scene *scene, const char *name, const char *target)
{
	auto_free char *from = path(scene, "new"), *to = path(scene, name);

	assert_int_equal(symlink(target, from), 0);
	assert_int_equal(rename(from, to), 0);
}

static void make_folder(const struct scene *scene, const char *name)
{
	auto_free char *made = path(scene, name);

	assert_int_equal(mkdir(made, 0755), 0);
}

static int setup(void **state)
{
	static unsigned count;
	struct scene *scene = calloc(1, sizeof(*scene));
	auto_free char *hosts = NULL, *conf = NULL;

	assert_true(asprintf(&scene->folder, "%s/%u", folder, count++) > 0);
	assert_int_equal(mkdir(scene->folder, 0755), 0);
	make_folder(scene, "etc");
	hosts = path(scene, "etc/hosts");
	conf = path(scene, "etc/resolv.conf");
	setenv("ANNEX_HOSTS", hosts, 1);
	setenv("ANNEX_RESOLV_CONF", conf, 1);
	assert_int_equal(loop_new(&scene->loop), 0);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	hostnames_free(scene->names);
	loop_free(scene->loop);
	free(scene->folder);
	free(scene);
	return 0;
}

/* The files' paths are read from the environment, which keeps them until the next scene. */
static void watch(struct scene *scene)
{
	assert_int_equal(hostnames_new(&scene->names, scene->loop, on_changed, scene, NULL), 0);
}

static const char *server(const struct scene *scene)
{
	return hostnames_resolve(scene->names).servers[0];
}

static void expect_server(struct scene *scene, const char *wanted)
{
	uint64_t end = time_monotonic_ms() + 20000;

	while (strcmp(server(scene), wanted) != 0 && time_monotonic_ms() < end)
		loop_turn(scene->loop, 1000);
	assert_string_equal(server(scene), wanted);
}

static void what_is_written_in_place_is_noticed(void **state)
{
	struct scene *scene = *state;

	put(scene, "etc/resolv.conf", "nameserver 10.0.0.1\nsearch a.example\n");
	watch(scene);
	assert_string_equal(server(scene), "10.0.0.1");
	assert_string_equal(hostnames_search(scene->names)[0], "a.example");
	put(scene, "etc/resolv.conf", "nameserver 10.0.0.2\nsearch a.example\n");
	expect_server(scene, "10.0.0.2");
	assert_true(scene->resolves == 1 && scene->searches == 0);
	put(scene, "etc/resolv.conf", "nameserver 10.0.0.3\nsearch b.example\n");
	expect_server(scene, "10.0.0.3");
	assert_true(scene->resolves == 2 && scene->searches == 1);
	assert_string_equal(hostnames_search(scene->names)[0], "b.example");
}

static void what_takes_the_files_place_is_noticed_and_watched(void **state)
{
	struct scene *scene = *state;

	put(scene, "etc/resolv.conf", "nameserver 10.0.0.1\n");
	watch(scene);
	replace(scene, "etc/resolv.conf", "nameserver 10.0.0.2\n");
	expect_server(scene, "10.0.0.2");
	put(scene, "etc/resolv.conf", "nameserver 10.0.0.3\n");
	expect_server(scene, "10.0.0.3");
	replace(scene, "etc/resolv.conf", "nameserver 10.0.0.4\n");
	expect_server(scene, "10.0.0.4");
}

static void links_are_followed_and_so_is_where_they_lead_next(void **state)
{
	struct scene *scene = *state;

	make_folder(scene, "run");
	point(scene, "etc/resolv.conf", "../run/resolve/stub.conf");
	watch(scene);
	assert_string_equal(server(scene), "127.0.0.1");
	make_folder(scene, "run/resolve");
	loop_turn(scene->loop, 1000); /* the folder's own event; the file's may come with it */
	put(scene, "run/resolve/stub.conf", "nameserver 127.0.0.53\n");
	expect_server(scene, "127.0.0.53");
	replace(scene, "run/resolve/stub.conf", "nameserver 10.0.0.1\n");
	expect_server(scene, "10.0.0.1");
	put(scene, "other.conf", "nameserver 10.0.0.2\n");
	point(scene, "etc/resolv.conf", "../other.conf");
	expect_server(scene, "10.0.0.2");
	put(scene, "other.conf", "nameserver 10.0.0.3\n");
	expect_server(scene, "10.0.0.3");
}

static void a_file_that_goes_and_comes_back_is_noticed(void **state)
{
	struct scene *scene = *state;
	auto_free char *conf = path(scene, "etc/resolv.conf");

	put(scene, "etc/resolv.conf", "nameserver 10.0.0.1\n");
	watch(scene);
	assert_int_equal(unlink(conf), 0);
	expect_server(scene, "127.0.0.1");
	put(scene, "etc/resolv.conf", "nameserver 10.0.0.1\n");
	expect_server(scene, "10.0.0.1");
}

static void scopes_are_numbers(void **state)
{
	struct scene *scene = *state;
	const char *const *servers;

	put(scene, "etc/resolv.conf", "nameserver fe80::9%nowhere\nnameserver fe80::1%lo#5353\nnameserver fe80::2%7\n");
	watch(scene);
	servers = hostnames_resolve(scene->names).servers;
	assert_string_equal(servers[0], "fe80::1%1#5353");
	assert_string_equal(servers[1], "fe80::2%7");
	assert_null(servers[2]);
}

static void hosts_are_watched_too(void **state)
{
	struct scene *scene = *state;
	uint64_t end = time_monotonic_ms() + 20000;

	put(scene, "etc/resolv.conf", "nameserver 10.0.0.1\n");
	watch(scene);
	assert_null(hostnames_resolve(scene->names).hosts);
	put(scene, "etc/hosts", "10.0.0.9 nine\n");
	while (scene->resolves == 0 && time_monotonic_ms() < end)
		loop_turn(scene->loop, 1000);
	assert_string_equal(hostnames_resolve(scene->names).hosts[0], "10.0.0.9 nine");
}

static void what_says_the_same_and_what_else_happens_is_no_change(void **state)
{
	struct scene *scene = *state;

	put(scene, "etc/resolv.conf", "nameserver 10.0.0.1\n");
	watch(scene);
	put(scene, "etc/passwd", "root");
	assert_false(loop_turn(scene->loop, 0) && scene->resolves);
	replace(scene, "etc/resolv.conf", "# by somebody\nnameserver 10.0.0.1\n");
	replace(scene, "etc/resolv.conf", "nameserver 10.0.0.1\n");
	put(scene, "etc/hosts", "10.0.0.9 nine\n");
	while (scene->resolves == 0)
		assert_true(loop_turn(scene->loop, 20000));
	assert_int_equal(scene->resolves, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_in_place_is_noticed),
		TEST(what_takes_the_files_place_is_noticed_and_watched),
		TEST(links_are_followed_and_so_is_where_they_lead_next),
		TEST(a_file_that_goes_and_comes_back_is_noticed),
		TEST(scopes_are_numbers),
		TEST(hosts_are_watched_too),
		TEST(what_says_the_same_and_what_else_happens_is_no_change),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
