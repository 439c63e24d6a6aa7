/* Pruning images and telling what is on the disk, with a store and machines that are only records. */
#include "test.h"

#include "annex/image.h"
#include "annex/usage.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/spawn.h"
#include "folder.h"
#include "lib/context.h"
#include "lib/obtain.h"
#include "machine/record.h"
#include "store/base-draft.h"
#include "store/catalog.h"

#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { DISK = 64 << 10, INDEX = 4096 };

static struct annex_context *context;
static struct store *store;
static bool hesitates;

/* In front of the C library's: who is about to lock something hesitates, so that others come between. */
int flock(int fd, int operation)
{
	if (hesitates)
		usleep((useconds_t)random() % (random() % 4 ? 500 : 10000));
	return (int)syscall(SYS_flock, fd, operation);
}

static int set_up(void **state)
{
	struct annex_context_options options = ANNEX_CONTEXT_OPTIONS_INIT;
	auto_free char *images = NULL;

	if (folder_set_up(state) < 0)
		return -1;
	options.data_folder = options.config_folder = options.runtime_folder = folder;
	images = path_join(folder, "images");
	return annex_context_new(&context, &options, NULL) < 0 ? -1 : store_open(&store, images, NULL);
}

static int tear_down(void **state)
{
	store_free(store);
	annex_context_unref(context);
	return folder_tear_down(state);
}

static const char *key(char letter)
{
	static char keys[128][BASE_KEY_TEXT];

	memset(keys[(int)letter], letter, 64);
	return keys[(int)letter];
}

/* An image's configuration, and its id. */
static const char *config(char letter)
{
	static char text[160];

	snprintf(text, sizeof(text),
		 "{\"author\": \"%c\", \"architecture\": \"amd64\", \"os\": \"linux\", \"rootfs\": {\"type\": "
		 "\"layers\", \"diff_ids\": []}}",
		 letter);
	return text;
}

static const char *id(char letter)
{
	static char ids[128][DIGEST_TEXT];

	digest_of(ids[(int)letter], config(letter), strlen(config(letter)));
	return ids[(int)letter];
}

/* A disk with one layer; published or left. */
static void make_base(char letter, const char *title, bool publish)
{
	static char zeroes[DISK];
	auto_close int hold = -1, index = -1;
	auto_base_draft struct base_draft *draft = NULL;
	bool complete;

	assert_int_equal(base_hold_alone(&hold, store, key(letter), NULL, NULL, NULL), 0);
	assert_int_equal(base_draft_open(&draft, store, key(letter), NULL), 0);
	if (title)
		assert_int_equal(base_draft_set_title(draft, title, NULL), 0);
	assert_int_equal(base_draft_index(&index, &complete, draft, id('1'), NULL), 0);
	assert_int_equal(write(base_draft_disk(draft), zeroes, DISK), DISK);
	assert_int_equal(write(index, zeroes, INDEX), INDEX);
	assert_int_equal(base_draft_keep(draft, id('1'), NULL), 0);
	if (publish)
		assert_int_equal(base_draft_publish(draft, NULL), 0);
}

/* `name` may be NULL; the base is made if there is none. */
static void make_image(char letter, char base, const char *name)
{
	auto_image_record struct image_record record = {0};
	struct catalog_blob blobs[] = {{NULL, config(letter), strlen(config(letter))}, {NULL, "{}", 2}};

	if (!base_exists(store, key(base)))
		make_base(base, NULL, true);
	record.id = strdup(id(letter));
	record.digest = strdup(id(letter));
	record.digest[7] = '0';
	record.platform = strdup("linux/amd64");
	record.base = strdup(key(base));
	if (name)
		assert_int_equal(text_list_add(&record.names, name), 0);
	blobs[0].digest = record.id;
	blobs[1].digest = record.digest;
	assert_int_equal(catalog_add(store, &record, blobs, 2, NULL), 0);
}

static void make_machine(const char *name, char image, char base, bool running)
{
	auto_machine_record struct machine_record record = {.version = MACHINE_RECORD_VERSION};
	auto_machine_paths struct machine_paths paths = {0};
	struct machine_run run = {.pid = getpid(), .pid_start = spawn_start_time(getpid())};

	assert_int_equal(machine_id_make(&record.id, NULL), 0);
	record.name = strdup(name);
	record.image = strdup("x");
	record.image_id = strdup(id(image));
	record.base = strdup(key(base));
	assert_int_equal(settings_default(&record.settings, NULL), 0);
	assert_int_equal(machine_paths_make(&paths, folder, folder, folder, name, NULL), 0);
	assert_int_equal(file_make_folders(paths.folder, 0700), 0);
	assert_int_equal(machine_record_save(&record, paths.record, NULL), 0);
	run.settings = settings_encode(&record.settings);
	run.accelerator = strdup("tcg");
	if (running)
		assert_int_equal(machine_run_save(&run, &paths, NULL), 0);
	machine_run_clear(&run);
}

static void note(const char *what, uint64_t bytes, void *data)
{
	struct text *told = data;

	assert_true(bytes > 0);
	text_printf(told, "%s%s", told->size ? " | " : "", what);
}

/* What goes, as it is told. */
static char *prune(bool all, bool dry_run, uint64_t *ret_freed)
{
	struct annex_image_prune_options options = ANNEX_IMAGE_PRUNE_OPTIONS_INIT;
	auto_error struct annex_error *err = NULL;
	auto_text struct text told = {0};

	options.all = all;
	options.dry_run = dry_run;
	assert_int_equal(annex_image_prune(context, &options, note, &told, ret_freed, &err), 0);
	return text_take(&told);
}

static void assert_pruned(bool all, const char *expected)
{
	auto_free char *would = NULL, *told = NULL;
	uint64_t promised = 0, freed = 1;

	would = prune(all, true, &promised);
	told = prune(all, false, &freed);
	assert_string_equal(would, expected);
	assert_string_equal(told, expected);
	assert_int_equal(promised, freed);
	free(TAKE(told));
	told = prune(all, false, &freed);
	assert_string_equal(told, "");
	assert_int_equal(freed, 0);
}

static const struct annex_usage *usage(const char *kind)
{
	static struct annex_usage found;
	struct annex_usage *list = NULL;
	size_t count = 0;

	assert_int_equal(annex_usage_list(&list, &count, context, NULL), 0);
	assert_int_equal(count, 4);
	found = (struct annex_usage){0};
	for (size_t i = 0; i < count; i++) {
		assert_true(list[i].reclaimable <= list[i].size);
		if (strcmp(list[i].kind, kind) == 0)
			found = list[i];
	}
	annex_usage_free(list);
	return &found;
}

static void images_without_a_name_go_and_with_all_those_that_no_machine_uses(void **state)
{
	(void)state;
	make_image('a', 'a', "docker.io/library/a:1");
	make_image('b', 'b', NULL);
	make_image('c', 'c', NULL);
	make_image('d', 'd', "docker.io/library/d:1");
	make_machine("one", 'c', 'c', false);
	make_machine("two", 'd', 'd', true);
	assert_pruned(false, id('b'));
	assert_true(base_exists(store, key('c')));
	assert_false(base_exists(store, key('b')));
	assert_pruned(true, "a:1");
	assert_true(base_exists(store, key('c')) && base_exists(store, key('d')));
	assert_false(base_exists(store, key('a')));
}

static void an_image_whose_base_or_id_a_machine_has_stays(void **state)
{
	(void)state;
	make_image('a', 'e', "a"); /* its base is used through another image, which is gone */
	make_image('b', 'b', "b"); /* a machine has it from the time when its base had another key */
	make_machine("one", 'f', 'e', false);
	make_machine("two", 'b', 'f', false);
	assert_pruned(true, "");
	assert_int_equal(usage("images")->active, 2);
	assert_int_equal(usage("images")->reclaimable, 0);
}

static void a_damaged_machine_keeps_all_images(void **state)
{
	auto_free char *record = path_join(folder, "machines/one/machine.json");

	(void)state;
	make_image('a', 'a', "a");
	make_machine("one", 'b', 'b', false);
	assert_int_equal(file_write_atomic(AT_FDCWD, record, "{", 1, 0600), 0);
	assert_pruned(true, "");
}

static void a_shared_base_counts_once_and_goes_with_its_last_image(void **state)
{
	uint64_t size;

	(void)state;
	make_image('a', 'e', "docker.io/library/a:1");
	make_image('b', 'e', NULL);
	size = base_size(store, key('e'));
	assert_true(size >= DISK + INDEX);
	assert_in_range(usage("images")->size, size, size + DISK);
	assert_int_equal(usage("images")->size, usage("images")->reclaimable);
	assert_int_equal(usage("images")->count, 2);
	assert_pruned(false, id('b'));
	assert_true(base_exists(store, key('e')));
	assert_pruned(true, "a:1");
	assert_false(base_exists(store, key('e')));
	assert_int_equal(usage("images")->size, 0);
}

static void what_all_would_free_is_what_is_reclaimable(void **state)
{
	auto_free char *told = NULL;
	uint64_t freed = 0, images, drafts;

	(void)state;
	make_image('a', 'a', "a");
	make_image('b', 'b', NULL);
	make_image('c', 'b', "c");
	make_image('d', 'd', "d");
	make_base('e', NULL, true); /* left over */
	make_base('f', NULL, false);
	make_machine("one", 'd', 'd', false);
	images = usage("images")->reclaimable;
	drafts = usage("unfinished downloads")->reclaimable;
	told = prune(true, false, &freed);
	assert_int_equal(freed, images + drafts);
	assert_non_null(strstr(told, "disk eeeeeeeeeeee of no image"));
	assert_non_null(strstr(told, "unfinished download ffffffffffff"));
	assert_int_equal(usage("images")->reclaimable, 0);
	assert_int_equal(usage("images")->count, 1);
	assert_int_equal(usage("images")->active, 1);
}

static void unfinished_downloads_go_unless_somebody_is_at_them(void **state)
{
	auto_close int hold = -1;

	(void)state;
	make_base('a', "debian:12", false);
	make_base('b', "debian:13", false);
	assert_int_equal(base_hold_alone(&hold, store, key('b'), NULL, NULL, NULL), 0);
	assert_int_equal(usage("unfinished downloads")->count, 2);
	assert_int_equal(usage("unfinished downloads")->active, 1);
	assert_int_equal(usage("unfinished downloads")->size, 2 * usage("unfinished downloads")->reclaimable);
	assert_pruned(false, "unfinished download of debian:12");
	cleanup_close(&hold);
	hold = -1;
	assert_pruned(false, "unfinished download of debian:13");
	assert_int_equal(usage("unfinished downloads")->size, 0);
}

static void an_image_that_a_machine_is_being_made_of_stays(void **state)
{
	auto_close int hold = -1;

	(void)state;
	make_image('a', 'a', "a");
	make_image('b', 'a', NULL);
	assert_int_equal(base_hold(&hold, store, key('a'), NULL, NULL, NULL), 0);
	assert_pruned(true, "");
	make_machine("one", 'a', 'a', false);
	cleanup_close(&hold);
	hold = -1;
	assert_pruned(true, "");
}

static void machines_count_with_all_their_files(void **state)
{
	auto_free char *path = path_join(folder, "machines/one/disk.qcow2");
	static char zeroes[DISK];

	(void)state;
	make_machine("one", 'a', 'a', false);
	make_machine("two", 'a', 'a', true);
	assert_int_equal(file_write_atomic(AT_FDCWD, path, zeroes, DISK, 0600), 0);
	assert_int_equal(usage("machines")->count, 2);
	assert_int_equal(usage("machines")->active, 1);
	assert_in_range(usage("machines")->reclaimable, DISK, usage("machines")->size - 1);
	assert_int_equal(usage("kernels")->count, 0);
}

/* Nothing is here, not even the folders. */
static void an_empty_store_is_pruned_and_told(void **state)
{
	(void)state;
	assert_pruned(true, "");
	assert_int_equal(usage("images")->size, 0);
	assert_int_equal(usage("machines")->count, 0);
}

static void a_cancelled_prune_keeps_the_rest(void **state)
{
	auto_error struct annex_error *err = NULL;
	struct annex_image_prune_options options = ANNEX_IMAGE_PRUNE_OPTIONS_INIT;

	(void)state;
	make_image('a', 'a', "a");
	options.all = 1;
	annex_context_cancel(context);
	assert_int_equal(annex_image_prune(context, &options, NULL, NULL, NULL, &err), -1);
	assert_int_equal(annex_error_kind(err), ANNEX_ERROR_CANCELLED);
	annex_context_uncancel(context);
	assert_pruned(true, "a:latest");
}

/* Makes machines of the image as annex_machine_create() does: each has its base, or the image is said to be gone. */
static void create_machines(void)
{
	int made = 0, gone = 0; /* both are to happen */

	for (int i = 0; made < 20 || gone < 20; i++) {
		auto_error struct annex_error *err = NULL;
		const struct obtain_options options = {.pull = "never", .input_fd = -1};
		auto_obtained struct obtained found = {0};
		auto_free char *path = NULL;
		char name[16];

		snprintf(name, sizeof(name), "m%d", i);
		if (obtain_image(&found, context, "a:1", &options, &err) < 0) {
			assert_int_equal(annex_error_kind(err), ANNEX_ERROR_NOT_FOUND);
			assert_non_null(strstr(annex_error_message(err), "is not here"));
			gone++;
			usleep(1000);
			continue;
		}
		assert_int_equal(access(found.image->base_path, R_OK), 0);
		make_machine(name, 'a', 'a', false);
		obtained_clear(&found);
		assert_true(base_exists(store, key('a')));
		path = path_join(folder, "machines");
		assert_non_null(path);
		assert_int_equal(file_remove_tree(AT_FDCWD, path), 0);
		made++;
	}
}

static void pruning_beside_the_making_of_machines_breaks_none(void **state)
{
	int status = -1;
	pid_t child;

	(void)state;
	make_image('a', 'a', "docker.io/library/a:1");
	hesitates = true;
	child = fork();
	if (child == 0) {
		srandom(1);
		create_machines();
		_exit(0);
	}
	while (waitpid(child, &status, WNOHANG) == 0) {
		auto_free char *told = prune(true, false, NULL);

		usleep((useconds_t)random() % 4000);
		if (*told) /* it went: back again, as a pull does it */
			make_image('a', 'a', "docker.io/library/a:1");
		usleep((useconds_t)random() % 4000);
	}
	hesitates = false;
	assert_int_equal(status, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(images_without_a_name_go_and_with_all_those_that_no_machine_uses),
		TEST(an_image_whose_base_or_id_a_machine_has_stays),
		TEST(a_damaged_machine_keeps_all_images),
		TEST(a_shared_base_counts_once_and_goes_with_its_last_image),
		TEST(what_all_would_free_is_what_is_reclaimable),
		TEST(unfinished_downloads_go_unless_somebody_is_at_them),
		TEST(an_image_that_a_machine_is_being_made_of_stays),
		TEST(machines_count_with_all_their_files),
		TEST(an_empty_store_is_pruned_and_told),
		TEST(a_cancelled_prune_keeps_the_rest),
		TEST(pruning_beside_the_making_of_machines_breaks_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
