#include "test.h"

#include "base/file.h"
#include "supervisor/console.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* A console with the machine's end of it. */
struct scene {
	struct loop *loop;
	struct console *console;
	int machine;
	char folder[64], path[96];
};

static void start(struct scene *scene)
{
	auto_error struct annex_error *err = NULL;
	struct machine_paths paths = {.folder = scene->folder};
	int pair[2];

	*scene = (struct scene){.folder = "/tmp/annex-test-XXXXXX"};
	assert_non_null(mkdtemp(scene->folder));
	snprintf(scene->path, sizeof(scene->path), "%s/console.log.1", scene->folder);
	assert_int_equal(loop_new(&scene->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	scene->machine = pair[1];
	assert_int_equal(console_new(&scene->console, scene->loop, pair[0], &paths, &err), 0);
}

static void stop(struct scene *scene)
{
	console_free(scene->console);
	loop_free(scene->loop);
	close(scene->machine);
	assert_int_equal(file_remove_tree(AT_FDCWD, scene->folder), 0);
}

static void show(struct scene *scene, const char *text)
{
	assert_int_equal(file_write_all(scene->machine, text, strlen(text)), 0);
	console_drain(scene->console);
}

static void assert_tail(const struct scene *scene, unsigned lines, const char *expected)
{
	auto_free char *tail = console_tail(scene->console, lines);

	assert_string_equal(tail, expected);
}

static void the_log_has_every_byte_and_the_tail_what_can_be_shown(void **state)
{
	static const char shown[] = "one\r\n\x1b[1;31mtwo\x1b[0m\ttabbed\a\r\n\xff three";
	auto_free char *log = NULL;
	struct scene scene;

	(void)state;
	start(&scene);
	assert_tail(&scene, 5, "");
	show(&scene, shown);
	assert_tail(&scene, 5, "one | two tabbed | ? three");
	assert_tail(&scene, 2, "two tabbed | ? three");
	assert_int_equal(file_read(&log, NULL, AT_FDCWD, scene.path, 4096), 0);
	assert_string_equal(log, shown);
	stop(&scene);
}

static void what_follows_a_panic_does_not_hide_it(void **state)
{
	auto_free char *panic = NULL, *none = NULL;
	struct scene scene;

	(void)state;
	start(&scene);
	show(&scene, "cause\n");
	none = console_panic(scene.console);
	assert_null(none);
	show(&scene, "[ 1.0] Kernel panic - not syncing: no init\r\n stack\n registers\n");
	panic = console_panic(scene.console);
	assert_string_equal(panic, "no init");
	assert_tail(&scene, 2, "cause | [ 1.0] Kernel panic - not syncing: no init");
	stop(&scene);
}

static void a_panic_that_is_cut_off_is_one_too(void **state)
{
	auto_free char *panic = NULL;
	struct scene scene;

	(void)state;
	start(&scene);
	show(&scene, "Kernel panic - not syncing: Att");
	panic = console_panic(scene.console);
	assert_string_equal(panic, "Att");
	stop(&scene);
}

static void only_the_end_is_kept_in_memory(void **state)
{
	auto_free char *tail = NULL;
	struct scene scene;

	(void)state;
	start(&scene);
	for (unsigned i = 0; i < 5000; i++) {
		char line[32];

		snprintf(line, sizeof(line), "line %u\n", i);
		show(&scene, line);
	}
	assert_tail(&scene, 2, "line 4998 | line 4999");
	tail = console_tail(scene.console, 100000);
	assert_true(strlen(tail) < (size_t)4 * CONSOLE_TAIL_MAX);
	assert_true(strlen(tail) >= CONSOLE_TAIL_MAX);
	stop(&scene);
}

static void the_end_of_the_machine_ends_the_reading(void **state)
{
	struct scene scene;

	(void)state;
	start(&scene);
	assert_int_equal(file_write_all(scene.machine, "last", 4), 0);
	close(scene.machine);
	scene.machine = -1;
	while (loop_turn(scene.loop, 0))
		;
	assert_tail(&scene, 1, "last");
	console_drain(scene.console);
	stop(&scene);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_log_has_every_byte_and_the_tail_what_can_be_shown),
		cmocka_unit_test(what_follows_a_panic_does_not_hide_it),
		cmocka_unit_test(a_panic_that_is_cut_off_is_one_too),
		cmocka_unit_test(only_the_end_is_kept_in_memory),
		cmocka_unit_test(the_end_of_the_machine_ends_the_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
