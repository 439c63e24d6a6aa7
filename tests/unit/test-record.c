#include "test.h"
#include "folder.h"

#include "base/file.h"
#include "machine/record.h"

#include <fcntl.h>
#include <string.h>

static void a_record_written_is_the_record_read(void **state)
{
	auto_machine_paths struct machine_paths paths = {0};
	auto_machine_record struct machine_record record = {.version = MACHINE_RECORD_VERSION, .created = 1764094020},
						  again = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, "web", &err), 0);
	assert_int_equal(file_make_folders(paths.folder, 0700), 0);
	assert_int_equal(machine_id_make(&record.id, &err), 0);
	record.name = strdup("web");
	record.image = strdup("debian:12");
	record.image_id = strdup("sha256:0");
	record.base = strdup("key");
	assert_int_equal(settings_default(&record.settings, &err), 0);
	assert_int_equal(machine_record_save(&record, paths.record, &err), 0);
	assert_int_equal(machine_record_load(&again, &paths, &err), 0);
	assert_string_equal(again.id, record.id);
	assert_int_equal(again.created, 1764094020);
	assert_int_equal(again.settings.memory, record.settings.memory);
}

static void a_service_needs_a_command_and_whose_it_is(void **state)
{
	auto_machine_record struct machine_record record = {0};
	auto_error struct annex_error *none = NULL;
	auto_error struct annex_error *old = NULL;
	auto_error struct annex_error *init = NULL;

	(void)state;
	record.image = strdup("debian:12");
	assert_int_equal(machine_record_check_service(&record, NULL), 0);
	record.settings.service = true;
	assert_int_equal(machine_record_check_service(&record, &none), -1);
	assert_string_equal(annex_error_message(none),
			    "service=true: image debian:12 has neither an entrypoint nor a command");
	assert_int_equal(text_list_add(&record.init_argv, "nginx"), 0);
	assert_int_equal(machine_record_check_service(&record, &old), -1);
	assert_int_equal(annex_error_kind(old), ANNEX_ERROR_UNSUPPORTED);
	record.user = strdup("");
	record.folder = strdup("/srv");
	assert_int_equal(machine_record_check_service(&record, NULL), 0);
	text_list_clear(&record.init_argv);
	assert_int_equal(text_list_add(&record.init_argv, "/sbin/init"), 0);
	assert_int_equal(machine_record_check_service(&record, &init), -1);
	assert_string_equal(annex_error_message(init),
			    "service=true: the command of image debian:12, /sbin/init, is an init and no service");
}

static void an_unknown_machine_is_not_found(void **state)
{
	auto_machine_paths struct machine_paths paths = {0};
	auto_machine_record struct machine_record record = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, "nobody", &err), 0);
	assert_int_equal(machine_record_load(&record, &paths, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	assert_string_equal(annex_error_message(err), "there is no machine 'nobody'");
}

static void who_does_not_ask_why_is_told_nothing(void **state)
{
	auto_machine_paths struct machine_paths paths = {0};
	auto_machine_record struct machine_record record = {0};

	(void)state;
	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, "broken", NULL), 0);
	assert_int_equal(file_make_folders(paths.folder, 0700), 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, paths.record, "{", 1, 0600), 0);
	assert_int_equal(machine_record_load(&record, &paths, NULL), -1);
}

static void a_socket_path_that_does_not_fit_is_refused(void **state)
{
	auto_machine_paths struct machine_paths paths = {0};
	auto_error struct annex_error *err = NULL;
	char runtime[128], *path = NULL;

	(void)state;
	memset(runtime, 'r', sizeof(runtime));
	runtime[0] = '/';
	runtime[sizeof(runtime) - 1] = '\0';
	assert_int_equal(machine_paths_make(&paths, folder, folder, runtime, "web", &err), 0);
	assert_int_equal(machine_socket_path(&path, &paths, "0123456789abcdef", &err), -1);
	assert_non_null(annex_error_hint(err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_written_is_the_record_read),
		cmocka_unit_test(a_service_needs_a_command_and_whose_it_is),
		cmocka_unit_test(an_unknown_machine_is_not_found),
		cmocka_unit_test(who_does_not_ask_why_is_told_nothing),
		cmocka_unit_test(a_socket_path_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
