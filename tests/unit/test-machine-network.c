#include "test.h"
#include "folder.h"

#include "base/file.h"
#include "machine/network.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void make(const char *name, const char *uplink)
{
	const struct machine_network network = {.name = (char *)name, .uplink = (char *)uplink, .created = 1764094020};

	assert_int_equal(machine_network_save(&network, folder, NULL), 0);
}

static void a_network_written_is_the_network_read(void **state)
{
	auto_machine_network struct machine_network network = {0};

	(void)state;
	make("work", "passt");
	assert_int_equal(machine_network_load(&network, folder, "work", NULL), 0);
	assert_string_equal(network.name, "work");
	assert_string_equal(network.uplink, "passt");
	assert_int_equal(network.created, 1764094020);
}

static void a_name_is_taken_once(void **state)
{
	const struct machine_network again = {.name = (char *)"twice", .uplink = (char *)"auto"};
	auto_error struct annex_error *err = NULL;

	(void)state;
	make("twice", "none");
	assert_int_equal(machine_network_save(&again, folder, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_EXISTS);
}

static void names_are_those_of_machines_without_words_that_mean_more(void **state)
{
	static const char *const wrong[] = {"auto", "passt", "slirp", "none", "default", "host",
					    "",     "Work",  "a/b",   "..",   "-a"};
	auto_error struct annex_error *err = NULL;

	(void)state;
	assert_int_equal(machine_network_check_name("lab-2", NULL), 0);
	assert_int_equal(machine_network_check_name("autobahn", NULL), 0);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		auto_error struct annex_error *why = NULL;

		assert_int_equal(machine_network_check_name(wrong[i], &why), -1);
		assert_int_equal(annex_error_kind(why), ANNEX_ERROR_USAGE);
	}
	assert_int_equal(machine_network_check_name("-a", &err), -1);
	assert_string_equal(annex_error_message(err),
			    "network name '-a' is invalid: it must begin and end with a letter or digit");
}

static void the_setting_names_a_network_or_how_to_get_out(void **state)
{
	auto_machine_network struct machine_network slirp = {0}, none = {0}, lab = {0}, gone = {0};
	auto_error struct annex_error *err = NULL;

	(void)state;
	make("lab", "none");
	assert_int_equal(machine_network_resolve(&slirp, folder, "slirp", NULL), 0);
	assert_string_equal(slirp.name, "default");
	assert_string_equal(slirp.uplink, "slirp");
	assert_int_equal(machine_network_resolve(&none, folder, "none", NULL), 0);
	assert_string_equal(none.name, "");
	assert_string_equal(none.uplink, "none");
	assert_int_equal(machine_network_resolve(&lab, folder, "lab", NULL), 0);
	assert_string_equal(lab.name, "lab");
	assert_string_equal(lab.uplink, "none");
	assert_int_equal(machine_network_resolve(&gone, folder, "gone", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	assert_string_equal(annex_error_message(err), "there is no network 'gone'");
	assert_non_null(strstr(annex_error_hint(err), "annex network create gone"));
}

static void what_is_no_record_is_told(void **state)
{
	static const char *const wrong[] = {
		"",
		"[]",
		"{}",
		"{\"version\":1,\"name\":\"other\",\"uplink\":\"auto\",\"created\":\"2026-01-01T00:00:00Z\"}",
		"{\"version\":1,\"name\":\"odd\",\"uplink\":\"lab\",\"created\":\"2026-01-01T00:00:00Z\"}",
		"{\"version\":1,\"name\":\"odd\",\"uplink\":7,\"created\":\"2026-01-01T00:00:00Z\"}"};
	auto_error struct annex_error *version = NULL;
	auto_free char *path = NULL;
	static const char later[] =
		"{\"version\":2,\"name\":\"odd\",\"uplink\":\"auto\",\"created\":\"2026-01-01T00:00:00Z\"}";

	(void)state;
	assert_true(asprintf(&path, "%s/networks/odd.json", folder) > 0);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		auto_machine_network struct machine_network network = {0};
		auto_error struct annex_error *err = NULL;

		assert_int_equal(file_write_atomic(AT_FDCWD, path, wrong[i], strlen(wrong[i]), 0600), 0);
		assert_int_equal(machine_network_load(&network, folder, "odd", &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	}
	assert_int_equal(file_write_atomic(AT_FDCWD, path, later, strlen(later), 0600), 0);
	assert_int_equal(machine_network_load(&(struct machine_network){0}, folder, "odd", &version), -1);
	assert_int_equal(annex_error_kind(version), ANNEX_ERROR_UNSUPPORTED);
	assert_int_equal(machine_network_remove(folder, "odd", NULL), 0);
}

static void all_are_listed_by_name(void **state)
{
	auto_text_list struct text_list names = {0};

	(void)state;
	assert_int_equal(machine_network_names(&names, folder, NULL), 0);
	assert_int_equal(names.count, 3);
	assert_string_equal(names.items[0], "lab");
	assert_string_equal(names.items[1], "twice");
	assert_string_equal(names.items[2], "work");
}

static void without_any_there_is_none(void **state)
{
	auto_text_list struct text_list names = {0};

	(void)state;
	assert_int_equal(machine_network_names(&names, "/nonexistent", NULL), 0);
	assert_int_equal(names.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_written_is_the_network_read),
		cmocka_unit_test(a_name_is_taken_once),
		cmocka_unit_test(names_are_those_of_machines_without_words_that_mean_more),
		cmocka_unit_test(the_setting_names_a_network_or_how_to_get_out),
		cmocka_unit_test(what_is_no_record_is_told),
		cmocka_unit_test(all_are_listed_by_name),
		cmocka_unit_test(without_any_there_is_none),
	};

	return cmocka_run_group_tests(tests, folder_set_up, folder_tear_down);
}
