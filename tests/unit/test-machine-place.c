#include "test.h"
#include "folder.h"

#include "base/file.h"
#include "machine/place.h"
#include "network/address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void make(struct machine_record *record, const char *name, uint32_t place, int64_t created)
{
	auto_machine_paths struct machine_paths paths = {0};

	*record = (struct machine_record){.version = MACHINE_RECORD_VERSION, .created = created, .place = place};
	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, name, NULL), 0);
	assert_int_equal(file_make_folders(paths.folder, 0700), 0);
	assert_int_equal(machine_id_make(&record->id, NULL), 0);
	record->name = strdup(name);
	record->image = strdup("debian:12");
	record->image_id = strdup("sha256:0");
	record->base = strdup("key");
	assert_int_equal(settings_default(&record->settings, NULL), 0);
	assert_int_equal(machine_record_save(record, paths.record, NULL), 0);
}

static uint32_t choose(const char *id)
{
	auto_close int lock = -1;
	uint32_t place = 0;

	assert_int_equal(machine_place_lock(&lock, folder, NULL), 0);
	assert_int_equal(machine_place_choose(&place, folder, id, NULL), 0);
	assert_true(place_is_valid(place));
	return place;
}

static const char some_id[] = "0123456789abcdef0123456789abcdef";

static void a_place_is_the_machines_own_and_always_the_same(void **state)
{
	uint32_t place = choose(some_id);

	(void)state;
	assert_int_equal(choose(some_id), place);
	assert_int_not_equal(choose("1123456789abcdef0123456789abcdef"), place);
}

static void what_another_machine_has_is_passed_over(void **state)
{
	auto_machine_record struct machine_record other = {0};
	uint32_t place = choose(some_id);

	(void)state;
	make(&other, "other", place, 1);
	assert_int_not_equal(choose(some_id), place);
}

static void what_a_socket_of_this_host_is_bound_to_is_passed_over(void **state)
{
	uint32_t place = choose(some_id);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = place_host(place)};
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
	auto_close int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), udp = -1;

	(void)state;
	assert_int_equal(bind(tcp, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(choose(some_id), place); /* it does not listen yet, and nobody sees it */
	assert_int_equal(listen(tcp, 1), 0);
	assert_int_not_equal(choose(some_id), place);
	close(tcp);
	tcp = -1;
	assert_int_equal(choose(some_id), place);
	udp = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&mapped.sin6_addr.s6_addr[12], &address.sin_addr, 4);
	if (udp < 0 || bind(udp, (struct sockaddr *)&mapped, sizeof(mapped)) < 0)
		return; /* no IPv6 here */
	assert_int_not_equal(choose(some_id), place);
}

static void lines_of_the_kernels_tables_are_understood(void **state)
{
	uint8_t used[MACHINE_PLACES / 8] = {0};
	struct in_addr host = place_host(0x0307);
	char line[256];

	(void)state;
	machine_place_mark_line(used, "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt");
	machine_place_mark_line(used, "");
	machine_place_mark_line(used, "   0: ");
	machine_place_mark_line(used, "   0: zz");
	machine_place_mark_line(used, "   0: 0100007F:1F90 00000000:0000 0A");
	for (size_t i = 0; i < sizeof(used); i++)
		assert_int_equal(used[i], 0);
	snprintf(line, sizeof(line), " 12: %08X:0050 00000000:0000 0A 00000000", host.s_addr);
	machine_place_mark_line(used, line);
	assert_int_equal(used[0x0307 / 8], 1 << (0x0307 % 8));
	memset(used, 0, sizeof(used));
	snprintf(line, sizeof(line), " 12: 0000000000000000%08X%08X:0050 0:0000 0A", htonl(0xffff), host.s_addr);
	machine_place_mark_line(used, line);
	assert_int_equal(used[0x0307 / 8], 1 << (0x0307 % 8));
	memset(used, 0, sizeof(used));
	snprintf(line, sizeof(line), " 12: 0000000100000000%08X%08X:0050 0:0000 0A", htonl(0xffff), host.s_addr);
	machine_place_mark_line(used, line);
	assert_int_equal(used[0x0307 / 8], 0);
}

/* Many at once, each with the same wish. */
static void two_who_choose_at_once_get_different_ones(void **state)
{
	enum { AT_ONCE = 8 };
	bool seen[MACHINE_PLACES] = {0};

	(void)state;
	for (int i = 0; i < AT_ONCE; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			auto_machine_record struct machine_record record = {0};
			auto_close int lock = -1;
			uint32_t place = 0;
			char name[16];

			snprintf(name, sizeof(name), "at-once-%d", i);
			if (machine_place_lock(&lock, folder, NULL) < 0 ||
			    machine_place_choose(&place, folder, some_id, NULL) < 0)
				_exit(1);
			make(&record, name, place, i);
			_exit(0);
		}
	}
	for (int i = 0; i < AT_ONCE; i++) {
		int status = -1;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	for (int i = 0; i < AT_ONCE; i++) {
		auto_machine_paths struct machine_paths paths = {0};
		auto_machine_record struct machine_record record = {0};
		char name[16];

		snprintf(name, sizeof(name), "at-once-%d", i);
		assert_int_equal(machine_paths_make(&paths, folder, folder, folder, name, NULL), 0);
		assert_int_equal(machine_record_load(&record, &paths, NULL), 0);
		assert_false(seen[record.place]);
		seen[record.place] = true;
	}
}

static uint32_t settle(const char *name)
{
	auto_machine_paths struct machine_paths paths = {0};
	auto_machine_record struct machine_record record = {0}, again = {0};

	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, name, NULL), 0);
	assert_int_equal(machine_record_load(&record, &paths, NULL), 0);
	assert_int_equal(machine_place_settle(&record, &paths, NULL), 0);
	assert_int_equal(machine_record_load(&again, &paths, NULL), 0);
	assert_int_equal(record.place, again.place);
	assert_string_equal(record.name, name);
	return record.place;
}

static void a_record_of_an_older_annex_gets_a_place_and_keeps_it(void **state)
{
	auto_machine_record struct machine_record old = {0};
	uint32_t place;

	(void)state;
	make(&old, "old", 0, 5);
	place = settle("old");
	assert_true(place_is_valid(place));
	assert_int_equal(settle("old"), place);
}

static void of_two_with_the_same_place_the_younger_gets_another(void **state)
{
	auto_machine_record struct machine_record first = {0}, copy = {0};

	(void)state;
	make(&copy, "copy", 0x0307, 20);
	make(&first, "first", 0x0307, 10);
	assert_int_equal(settle("first"), 0x0307);
	assert_int_not_equal(settle("copy"), 0x0307);
	assert_int_equal(settle("first"), 0x0307);
}

static void an_address_that_is_none_is_corrupt(void **state)
{
	static const char *const wrong[] = {
		"\"127.0.0.1\"", "\"127.88.0.1\"", "\"127.88.255.1\"", "\"127.88.1.255\"", "\"x\"", "7",
		"null",          "\"127.88.3.7 \""};
	auto_machine_record struct machine_record record = {0};
	auto_machine_paths struct machine_paths paths = {0};

	(void)state;
	make(&record, "broken", 0x0307, 1);
	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, "broken", NULL), 0);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		auto_machine_record struct machine_record again = {0};
		auto_error struct annex_error *err = NULL;
		auto_json json_t *value = NULL;

		assert_int_equal(json_read_file(&value, AT_FDCWD, paths.record, NULL), 0);
		json_object_set_new(value, "address", json_loads(wrong[i], JSON_DECODE_ANY, NULL));
		assert_int_equal(json_write_file(AT_FDCWD, paths.record, value, NULL), 0);
		assert_int_equal(machine_record_load(&again, &paths, &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
		assert_non_null(strstr(annex_error_message(err), "machine.json: address: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_place_is_the_machines_own_and_always_the_same, folder_set_up,
						folder_tear_down),
		cmocka_unit_test_setup_teardown(what_another_machine_has_is_passed_over, folder_set_up,
						folder_tear_down),
		cmocka_unit_test_setup_teardown(what_a_socket_of_this_host_is_bound_to_is_passed_over, folder_set_up,
						folder_tear_down),
		cmocka_unit_test(lines_of_the_kernels_tables_are_understood),
		cmocka_unit_test_setup_teardown(two_who_choose_at_once_get_different_ones, folder_set_up,
						folder_tear_down),
		cmocka_unit_test_setup_teardown(a_record_of_an_older_annex_gets_a_place_and_keeps_it, folder_set_up,
						folder_tear_down),
		cmocka_unit_test_setup_teardown(of_two_with_the_same_place_the_younger_gets_another, folder_set_up,
						folder_tear_down),
		cmocka_unit_test_setup_teardown(an_address_that_is_none_is_corrupt, folder_set_up, folder_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
