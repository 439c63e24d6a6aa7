#include "store.h"
#include "test.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "store/base-draft.h"
#include "store/catalog.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* An image whose id, digest and base are made from a letter; `names` are separated by spaces. */
static void fill(struct image_record *record, char letter, const char *names)
{
	auto_free char *copy = strdup(names);
	char digest[DIGEST_TEXT], hex[65];

	memset(hex, letter, 64);
	hex[64] = '\0';
	snprintf(digest, sizeof(digest), "sha256:%s", hex);
	record->id = strdup(digest);
	digest[8] = '0';
	record->digest = strdup(digest);
	record->platform = strdup("linux/amd64");
	record->base = strdup(hex);
	record->imported = 1700000000;
	assert_int_equal(image_record_add_layer(record, digest, digest, 7), 0);
	for (char *name = strtok(copy, " "); name; name = strtok(NULL, " "))
		assert_int_equal(text_list_add(&record->names, name), 0);
}

static void add(char letter, const char *names)
{
	auto_error struct annex_error *err = NULL;
	auto_image_record struct image_record record = {0};
	const struct catalog_blob blobs[] = {{NULL, "config", 6}};
	struct catalog_blob blob = blobs[0];

	fill(&record, letter, names);
	blob.digest = record.id;
	assert_int_equal(catalog_add(store, &record, &blob, 1, &err), 0);
}

/* "a:x,y b:" : letters of ids, newest first, with their names. */
static char *summary(void)
{
	auto_catalog struct catalog catalog = {0};
	auto_text struct text text = {0};

	assert_int_equal(catalog_list(&catalog, store, NULL), 0);
	for (size_t i = 0; i < catalog.count; i++) {
		text_printf(&text, "%s%c:", i ? " " : "", catalog.items[i].id[7]);
		for (size_t j = 0; j < catalog.items[i].names.count; j++)
			text_printf(&text, "%s%s", j ? "," : "", catalog.items[i].names.items[j]);
	}
	return text_take(&text);
}

static void assert_summary(const char *expected)
{
	auto_free char *actual = summary();

	assert_string_equal(actual, expected);
}

static void a_record_is_read_as_it_was_written(void **state)
{
	auto_image_record struct image_record record = {0};

	(void)state;
	add('a', "x y");
	assert_int_equal(catalog_find(&record, store, "y", "y", NULL), 0);
	assert_int_equal(record.version, IMAGE_RECORD_VERSION);
	assert_int_equal(record.sequence, 1);
	assert_int_equal(record.imported, 1700000000);
	assert_int_equal(record.names.count, 2);
	assert_int_equal(record.layer_count, 1);
	assert_int_equal(record.layers[0].size, 7);
	assert_string_equal(record.platform, "linux/amd64");
}

static void a_name_moves_to_the_latest_image_that_gets_it(void **state)
{
	(void)state;
	add('a', "x");
	add('b', "x y");
	assert_summary("b:x,y a:");
	add('a', "y");
	assert_summary("a:y b:x");
	add('a', "z");
	assert_summary("a:z,y b:x");
}

/* As after a crash between the two writes of a move. */
static void a_name_on_two_records_belongs_to_the_later_one(void **state)
{
	auto_free char *path = NULL;
	auto_free char *old = NULL;
	size_t size;

	(void)state;
	add('a', "x w");
	assert_true(asprintf(&path, "%s/records/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.json",
			     folder) > 0);
	assert_int_equal(file_read(&old, &size, AT_FDCWD, path, 10000), 0);
	add('b', "x");
	assert_int_equal(file_write_atomic(AT_FDCWD, path, old, size, 0600), 0);
	assert_summary("b:x a:w");
	assert_int_equal(catalog_delete(store, "x", "x", NULL), 0);
	assert_summary("a:w");
}

static void an_image_is_found_by_name_digest_and_start_of_its_id(void **state)
{
	static const char *const found[] = {"aaaaaa", "sha256:aaaaaaaa",
					    "sha256:a0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	static const char *const lost[] = {"aaaaa", "AAAAAA", "b", "sha256:", "aaaaaab", "sha256:a0aaaa"};

	(void)state;
	add('a', "docker.io/library/x:1");
	add('b', "y");
	for (size_t i = 0; i < COUNT_OF(found); i++) {
		auto_image_record struct image_record record = {0};

		assert_int_equal(catalog_find(&record, store, "other", found[i], NULL), 0);
		assert_int_equal(record.id[7], 'a');
	}
	for (size_t i = 0; i < COUNT_OF(lost); i++) {
		auto_error struct annex_error *err = NULL;
		auto_image_record struct image_record record = {0};

		assert_int_equal(catalog_find(&record, store, NULL, lost[i], &err), -1);
		assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
		assert_non_null(annex_error_hint(err));
	}
}

/* The root that a name is to get is "sha256:" and 64 times the letter. */
static void add_pulled(char letter, const char *name, char root)
{
	auto_image_record struct image_record record = {0};
	char digest[DIGEST_TEXT] = "sha256:";

	memset(digest + 7, root, 64);
	digest[71] = '\0';
	fill(&record, letter, name);
	assert_int_equal(image_record_set_root(&record, name, digest), 0);
	assert_int_equal(catalog_add(store, &record, NULL, 0, NULL), 0);
}

/* The letter of a name's root; '-': it has none. */
static char root_of(const char *name)
{
	auto_image_record struct image_record record = {0};
	const char *root;

	assert_int_equal(catalog_find(&record, store, name, name, NULL), 0);
	root = image_record_root(&record, name);
	return root ? root[7] : '-';
}

static void a_name_remembers_where_it_led(void **state)
{
	(void)state;
	add_pulled('a', "x", '1');
	add_pulled('a', "y", '2');
	add('a', "z");
	assert_int_equal(root_of("x"), '1');
	assert_int_equal(root_of("y"), '2');
	assert_int_equal(root_of("z"), '-');
	add_pulled('a', "x", '3'); /* the tag leads to another index now, and on to the same image */
	assert_int_equal(root_of("x"), '3');
	add('a', "y"); /* from a file */
	assert_int_equal(root_of("y"), '-');
	add_pulled('b', "x", '4');
	add_pulled('a', "w", '5');
	assert_summary("a:w,y,z b:x");
	assert_int_equal(root_of("x"), '4');
	assert_int_equal(catalog_delete(store, "w", "w", NULL), 0);
	add('a', "w");
	assert_int_equal(root_of("w"), '-');
}

static void an_image_is_found_by_where_its_names_led(void **state)
{
	auto_image_record struct image_record record = {0}, gone = {0};
	char digest[DIGEST_TEXT] = "sha256:";

	(void)state;
	memset(digest + 7, '1', 64);
	add_pulled('a', "x", '1');
	add_pulled('b', "y", '2');
	assert_int_equal(catalog_find(&record, store, "x@sha256", digest, NULL), 0);
	assert_int_equal(record.id[7], 'a');
	add_pulled('c', "x", '3');
	assert_int_equal(catalog_find(&gone, store, "x@sha256", digest, NULL), -1);
}

static void write_record(char letter, const char *text)
{
	char path[256], hex[65] = "";

	memset(hex, letter, 64);
	snprintf(path, sizeof(path), "%.63s/records/%.64s.json", folder, hex);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

/* As the first annex wrote them, before there were roots; and with roots that are none. */
static void records_without_roots_are_read_and_damaged_roots_are_noticed(void **state)
{
	static const char hex[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	static const char *const damaged[] = {"[]", "\"x\"", "{\"x\": 1}", "{\"x\": \"sha256:1\"}"};

	(void)state;
	for (size_t i = 0; i <= COUNT_OF(damaged); i++) {
		auto_error struct annex_error *err = NULL;
		auto_image_record struct image_record record = {0};
		auto_text struct text made = {0};

		text_printf(&made,
			    "{\"version\": 1, \"id\": \"sha256:%s\", \"digest\": \"sha256:%s\", "
			    "\"platform\": \"linux/amd64\", \"base\": \"%s\", \"names\": [\"x\"], "
			    "\"created\": \"2023-01-01T00:00:00Z\", \"imported\": \"2023-01-01T00:00:00Z\", "
			    "\"sequence\": 1, \"layers\": []",
			    hex, hex, hex);
		if (i > 0)
			text_printf(&made, ", \"roots\": %s", damaged[i - 1]);
		text_add(&made, "}");
		write_record('a', made.data);
		assert_int_equal(catalog_find(&record, store, "x", "x", &err), i == 0 ? 0 : -1);
		if (i > 0)
			assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
		else
			assert_null(image_record_root(&record, "x"));
	}
}

static void deleting_a_name_keeps_the_image_until_its_last(void **state)
{
	auto_error struct annex_error *err = NULL;

	(void)state;
	add('a', "x y");
	add('b', "z w");
	assert_int_equal(catalog_delete(store, "x", "x", &err), 0);
	assert_summary("b:z,w a:y");
	assert_int_equal(catalog_delete(store, "y", "y", &err), 0);
	assert_summary("b:z,w");
	assert_int_equal(catalog_delete(store, "y", "y", &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
	assert_int_equal(catalog_delete(store, NULL, "bbbbbb", NULL), 0);
	assert_summary("");
}

static void write_base(const char *key)
{
	auto_close int hold = -1;
	auto_base_draft struct base_draft *draft = NULL;

	assert_int_equal(base_hold_alone(&hold, store, key, NULL, NULL, NULL), 0);
	assert_int_equal(base_draft_open(&draft, store, key, NULL), 0);
	assert_int_equal(write(base_draft_disk(draft), "disk", 4), 4);
	assert_int_equal(base_draft_publish(draft, NULL), 0);
}

static bool is_used(const char *key, void *data)
{
	return data && strcmp(key, data) == 0;
}

static void bases_stay_while_an_image_a_machine_or_a_holder_needs_them(void **state)
{
	static char keys[4][BASE_KEY_TEXT];
	auto_close int hold = -1;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		memset(keys[i], (int)("abcd"[i]), 64);
		write_base(keys[i]);
		assert_true(base_exists(store, keys[i]));
		assert_true(base_size(store, keys[i]) > 0);
	}
	add('a', "x");
	assert_int_equal(base_hold(&hold, store, keys[2], NULL, NULL, NULL), 0);
	assert_int_equal(catalog_collect(store, is_used, keys[1], NULL), 0);
	assert_true(base_exists(store, keys[0]));
	assert_true(base_exists(store, keys[1]));
	assert_true(base_exists(store, keys[2]));
	assert_false(base_exists(store, keys[3]));
	cleanup_close(&hold);
	hold = -1;
	assert_int_equal(catalog_collect(store, is_used, NULL, NULL), 0);
	assert_true(base_exists(store, keys[0]));
	assert_false(base_exists(store, keys[1]));
	assert_false(base_exists(store, keys[2]));
	assert_int_equal(base_size(store, keys[2]), 0);
}

static void documents_that_no_image_names_are_collected(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_free char *bytes = NULL, *half = NULL, *other = NULL;
	size_t size = 0;
	char digest[DIGEST_TEXT], id[DIGEST_TEXT];
	struct catalog_blob blob = {id, "document", 8};
	auto_image_record struct image_record record = {0};

	(void)state;
	digest_of(digest, "document", 8);
	strcpy(id, digest);
	fill(&record, 'a', "x");
	free(record.id);
	record.id = strdup(digest);
	assert_int_equal(catalog_add(store, &record, &blob, 1, &err), 0);
	half = path_join(folder, "records/aaaa.json.12.new");
	assert_int_equal(file_write_atomic(AT_FDCWD, half, "{", 1, 0600), 0);
	assert_int_equal(catalog_collect(store, is_used, NULL, &err), 0);
	assert_false(file_exists(AT_FDCWD, half));
	assert_int_equal(catalog_read_blob(&bytes, &size, store, digest, 100, &err), 0);
	assert_string_equal(bytes, "document");
	assert_int_equal(catalog_delete(store, "x", "x", &err), 0);
	assert_int_equal(catalog_collect(store, is_used, NULL, &err), 0);
	assert_int_equal(catalog_read_blob(&other, &size, store, digest, 100, &err), -1);
}

static void a_damaged_document_or_record_is_noticed(void **state)
{
	auto_error struct annex_error *blob = NULL, *newer = NULL, *err = NULL;
	auto_catalog struct catalog catalog = {0};
	auto_image_record struct image_record record = {0};
	auto_free char *bytes = NULL, *path = NULL;
	size_t size;

	(void)state;
	add('a', "x");
	assert_int_equal(catalog_find(&record, store, "x", "x", NULL), 0);
	assert_int_equal(catalog_read_blob(&bytes, &size, store, record.id, 100, &blob), -1);
	assert_int_equal(annex_error_kind(blob), ANNEX_ERROR_CORRUPT);
	assert_true(asprintf(&path, "%s/records/%s.json", folder, record.id + 7) > 0);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, "{}", 2, 0600), 0);
	assert_int_equal(catalog_list(&catalog, store, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CORRUPT);
	assert_non_null(strstr(annex_error_hint(err), path));
	{
		auto_json json_t *value = image_record_encode(&record);
		auto_free char *text = NULL;

		json_object_set_new(value, "version", json_integer(IMAGE_RECORD_VERSION + 1));
		text = json_text(value, true);
		assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
	}
	assert_int_equal(catalog_list(&catalog, store, &newer), -1);
	assert_int_equal(annex_error_kind(newer), ANNEX_ERROR_UNSUPPORTED);
}

static void keys_depend_on_every_layer_and_their_order(void **state)
{
	static const char *const one[] = {"sha256:1", "sha256:2"}, *const other[] = {"sha256:2", "sha256:1"};
	char a[BASE_KEY_TEXT], b[BASE_KEY_TEXT], c[BASE_KEY_TEXT], again[BASE_KEY_TEXT];

	(void)state;
	base_key(a, one, 2);
	base_key(b, other, 2);
	base_key(c, one, 1);
	base_key(again, one, 2);
	assert_string_equal(a, again);
	assert_string_not_equal(a, b);
	assert_string_not_equal(a, c);
}

static void the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not(void **state)
{
	auto_store struct store *other = NULL;
	auto_free char *dead = NULL, *recycled = NULL;
	const char *mine = NULL;

	(void)state;
	assert_int_equal(store_temporary_folder(&mine, store, NULL), 0);
	assert_true(asprintf(&dead, "%s/tmp/4000000-123-abc/archive/x", folder) > 0);
	assert_true(asprintf(&recycled, "%s/tmp/%d-1-abc", folder, (int)getpid()) > 0);
	assert_int_equal(file_make_folders(dead, 0700), 0);
	assert_int_equal(file_make_folders(recycled, 0700), 0);
	assert_int_equal(store_open(&other, folder, NULL), 0);
	assert_true(file_exists(AT_FDCWD, mine));
	assert_false(file_exists(AT_FDCWD, dead));
	assert_false(file_exists(AT_FDCWD, recycled));
}

static int count_and_stop(void *data)
{
	return ++*(int *)data >= 3;
}

static void waiting_for_a_base_can_be_given_up(void **state)
{
	auto_error struct annex_error *err = NULL;
	char key[BASE_KEY_TEXT];
	auto_close int hold = -1;
	int other = -1, calls = 0;

	(void)state;
	memset(key, 'a', 64);
	key[64] = '\0';
	assert_int_equal(base_hold_alone(&hold, store, key, NULL, NULL, NULL), 0);
	assert_int_equal(base_hold(&other, store, key, count_and_stop, &calls, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CANCELLED);
	assert_int_equal(calls, 3);
}

static void two_processes_that_add_lose_nothing(void **state)
{
	const size_t each = 5;
	pid_t child = fork();
	int status = -1;

	(void)state;
	if (child == 0) {
		for (int i = 0; i < (int)each; i++)
			add((char)('a' + i), "x");
		_exit(0);
	}
	for (int i = 0; i < (int)each; i++)
		add((char)('0' + i), "x");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	{
		auto_catalog struct catalog catalog = {0};
		size_t names = 0;

		assert_int_equal(catalog_list(&catalog, store, NULL), 0);
		assert_int_equal(catalog.count, 2 * each);
		for (size_t i = 0; i < catalog.count; i++) {
			assert_int_equal(catalog.items[i].sequence, 2 * each - i);
			names += catalog.items[i].names.count;
		}
		assert_int_equal(names, 1);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_set_up, store_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_record_is_read_as_it_was_written),
		TEST(a_name_moves_to_the_latest_image_that_gets_it),
		TEST(a_name_on_two_records_belongs_to_the_later_one),
		TEST(an_image_is_found_by_name_digest_and_start_of_its_id),
		TEST(a_name_remembers_where_it_led),
		TEST(an_image_is_found_by_where_its_names_led),
		TEST(records_without_roots_are_read_and_damaged_roots_are_noticed),
		TEST(deleting_a_name_keeps_the_image_until_its_last),
		TEST(bases_stay_while_an_image_a_machine_or_a_holder_needs_them),
		TEST(documents_that_no_image_names_are_collected),
		TEST(a_damaged_document_or_record_is_noticed),
		TEST(keys_depend_on_every_layer_and_their_order),
		TEST(the_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not),
		TEST(waiting_for_a_base_can_be_given_up),
		TEST(two_processes_that_add_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
