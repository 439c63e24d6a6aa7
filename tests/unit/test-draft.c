/*
 * Drafts of bases. The system calls that change the store's folders are counted here, in front of the C library's, so
 * that a maker can be killed before each of them.
 */
#include "store.h"
#include "test.h"

#include "base/digest.h"
#include "base/file.h"
#include "store/base-donor.h"
#include "store/base-draft.h"
#include "store/catalog.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static int steps_to_live; /* 0: for ever */
static int fsync_errno;

static void step(void)
{
	if (steps_to_live > 0 && --steps_to_live == 0)
		kill(getpid(), SIGKILL);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	step();
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int unlinkat(int dir, const char *name, int flags)
{
	step();
	return (int)syscall(SYS_unlinkat, dir, name, flags);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
	step();
	return (int)syscall(SYS_mkdirat, dir, name, mode);
}

int openat(int dir, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list list;

	if (flags & O_CREAT) {
		step();
		va_start(list, flags);
		mode = va_arg(list, mode_t);
		va_end(list);
	}
	return (int)syscall(SYS_openat, dir, name, flags, mode);
}

int ftruncate(int fd, off_t size)
{
	step();
	return (int)syscall(SYS_ftruncate, fd, size);
}

int fchmod(int fd, mode_t mode)
{
	step();
	return (int)syscall(SYS_fchmod, fd, mode);
}

int fsync(int fd)
{
	step();
	if (fsync_errno) {
		errno = fsync_errno;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

/* A key, or with "sha256:" a digest, all of one letter. */
static const char *key(char letter)
{
	static char keys[128][BASE_KEY_TEXT];

	memset(keys[(int)letter], letter, 64);
	return keys[(int)letter];
}

static const char *diff_id(char letter)
{
	static char ids[128][DIGEST_TEXT];

	snprintf(ids[(int)letter], DIGEST_TEXT, "sha256:%.64s", key(letter));
	return ids[(int)letter];
}

/* "bases/KEYending" */
static const char *file_of(char base, const char *ending)
{
	static char path[256];

	snprintf(path, sizeof(path), "%.63s/bases/%.64s%.100s", folder, key(base), ending);
	return path;
}

static bool is_there(char base, const char *ending)
{
	struct stat st;

	return lstat(file_of(base, ending), &st) == 0;
}

static void write_file(const char *path, const char *text)
{
	assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static struct base_draft *open_draft(char base, int *ret_hold)
{
	auto_error struct annex_error *err = NULL;
	struct base_draft *draft = NULL;

	assert_int_equal(base_hold_alone(ret_hold, store, key(base), NULL, NULL, NULL), 0);
	assert_int_equal(base_draft_open(&draft, store, key(base), &err), 0);
	return draft;
}

static bool is_complete(struct base_draft *draft, char layer)
{
	bool complete = false;
	int fd = -1;

	assert_int_equal(base_draft_index(&fd, &complete, draft, diff_id(layer), NULL), 0);
	close(fd);
	return complete;
}

/* A layer's contents are its letter, at the place of the letter on the disk. */
static void make_layer(struct base_draft *draft, char layer)
{
	auto_close int fd = -1;
	bool complete = false;

	assert_int_equal(base_draft_index(&fd, &complete, draft, diff_id(layer), NULL), 0);
	if (complete)
		return;
	assert_int_equal(pwrite(base_draft_disk(draft), &layer, 1, layer), 1);
	assert_int_equal(write(fd, &layer, 1), 1);
	assert_int_equal(base_draft_keep(draft, diff_id(layer), NULL), 0);
}

static void assert_layer(int disk, int index, char layer)
{
	char contents = 0, indexed = 0;

	assert_int_equal(pread(disk, &contents, 1, layer), 1);
	assert_int_equal(pread(index, &indexed, 1, 0), 1);
	assert_int_equal(contents, layer);
	assert_int_equal(indexed, layer);
}

/* With the layers of `letters`; published or left. */
static void make_base(char base, const char *letters, bool publish)
{
	auto_close int hold = -1;
	struct base_draft *draft = open_draft(base, &hold);

	for (; *letters; letters++)
		make_layer(draft, *letters);
	if (publish)
		assert_int_equal(base_draft_publish(draft, NULL), 0);
	base_draft_free(draft);
}

static bool is_used(const char *base, void *data)
{
	return data && strchr(data, *base);
}

static void collect(const char *used)
{
	auto_error struct annex_error *err = NULL;

	assert_int_equal(catalog_collect(store, is_used, (void *)used, &err), 0);
}

static void a_published_base_is_read_only_and_offers_its_layers(void **state)
{
	auto_base_donor struct base_donor donor = {-EBADF, -EBADF, -EBADF, ""};
	struct stat st;

	(void)state;
	make_base('a', "12", true);
	assert_true(base_exists(store, key('a')));
	assert_int_equal(stat(file_of('a', ".ext4"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0400);
	assert_false(is_there('a', ".part"));
	assert_false(is_there('a', ".layers/boot"));
	assert_int_equal(base_find_donor(&donor, store, key('b'), diff_id('2'), NULL), 0);
	assert_string_equal(donor.key, key('a'));
	assert_layer(donor.disk, donor.index, '2');
	base_donor_clear(&donor);
	assert_int_equal(base_find_donor(&donor, store, key('b'), diff_id('3'), NULL), 0);
	assert_int_equal(donor.hold, -EBADF);
	assert_int_equal(base_find_donor(&donor, store, key('a'), diff_id('2'), NULL), 0);
	assert_int_equal(donor.hold, -EBADF);
}

static void a_dropped_index_is_offered_no_more(void **state)
{
	auto_base_donor struct base_donor donor = {-EBADF, -EBADF, -EBADF, ""};

	(void)state;
	make_base('a', "12", true);
	base_drop_index(store, key('a'), diff_id('1'));
	assert_int_equal(base_find_donor(&donor, store, key('b'), diff_id('1'), NULL), 0);
	assert_int_equal(donor.hold, -EBADF);
	assert_int_equal(base_find_donor(&donor, store, key('b'), diff_id('2'), NULL), 0);
	assert_true(donor.hold >= 0);
}

static void complete_layers_of_a_draft_that_was_left_are_kept(void **state)
{
	auto_close int hold = -1, index = -1, half = -1;
	auto_base_draft struct base_draft *draft = NULL;
	bool complete = false;

	(void)state;
	draft = open_draft('a', &hold);
	make_layer(draft, '1');
	assert_int_equal(base_draft_index(&half, &complete, draft, diff_id('2'), NULL), 0);
	base_draft_free(TAKE(draft));
	cleanup_close(&hold);
	assert_true(is_there('a', ".part"));
	draft = open_draft('a', &hold);
	assert_int_equal(base_draft_index(&index, &complete, draft, diff_id('1'), NULL), 0);
	assert_true(complete);
	assert_layer(base_draft_disk(draft), index, '1');
	assert_int_equal(write(index, "", 1), -1);
	assert_false(is_complete(draft, '2'));
}

static void a_draft_without_a_complete_layer_leaves_nothing(void **state)
{
	auto_close int hold = -1, index = -1;
	auto_base_draft struct base_draft *draft = NULL;
	bool complete = true;

	(void)state;
	draft = open_draft('a', &hold);
	assert_int_equal(base_draft_set_title(draft, "debian:12", NULL), 0);
	assert_int_equal(base_draft_index(&index, &complete, draft, diff_id('1'), NULL), 0);
	assert_false(complete);
	assert_int_equal(pwrite(base_draft_disk(draft), "1", 1, 1 << 20), 1);
	base_draft_free(TAKE(draft));
	assert_false(is_there('a', ".part"));
	assert_false(is_there('a', ".layers"));
}

static void a_reset_frees_the_space_at_once_and_keeps_the_descriptor(void **state)
{
	auto_close int hold = -1;
	auto_base_draft struct base_draft *draft = NULL;
	struct stat st;
	int disk;

	(void)state;
	draft = open_draft('a', &hold);
	disk = base_draft_disk(draft);
	make_layer(draft, '1');
	assert_int_equal(base_draft_reset(draft, NULL), 0);
	assert_int_equal(base_draft_disk(draft), disk);
	assert_int_equal(fstat(disk, &st), 0);
	assert_int_equal(st.st_blocks, 0);
	assert_false(is_complete(draft, '1'));
	make_layer(draft, '2');
	base_draft_free(TAKE(draft));
	cleanup_close(&hold);
	draft = open_draft('a', &hold);
	assert_true(is_complete(draft, '2'));
	assert_int_equal(base_draft_reset(draft, NULL), 0);
	base_draft_free(TAKE(draft));
	assert_false(is_there('a', ".part"));
	assert_false(is_there('a', ".layers"));
}

static void a_draft_of_another_boot_is_thrown_away(void **state)
{
	static const char *const before[] = {"5f3a6d0e-0000-4000-8000-000000000000\n", "", "x"};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(before); i++) {
		auto_close int hold = -1;
		auto_base_draft struct base_draft *draft = NULL;

		make_base('a', "12", false);
		write_file(file_of('a', ".layers/boot"), before[i]);
		draft = open_draft('a', &hold);
		assert_false(is_complete(draft, '1'));
		assert_int_equal(lseek(base_draft_disk(draft), 0, SEEK_END), 0);
		make_layer(draft, '3');
	}
}

static void the_title_is_told(void **state)
{
	auto_base_draft_list struct base_draft_list list = {0}, none = {0};
	auto_close int hold = -1;
	auto_base_draft struct base_draft *draft = open_draft('a', &hold);

	(void)state;
	assert_int_equal(base_draft_set_title(draft, "debian:11", NULL), 0);
	assert_int_equal(base_draft_set_title(draft, "debian:12", NULL), 0);
	make_layer(draft, '1');
	assert_int_equal(base_draft_list(&list, store, NULL), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.items[0].title, "debian:12");
	assert_string_equal(list.items[0].key, key('a'));
	assert_true(list.items[0].is_held);
	assert_false(list.items[0].is_stale);
	assert_true(list.items[0].size > 0);
	assert_int_equal(base_draft_publish(draft, NULL), 0);
	assert_int_equal(base_draft_list(&none, store, NULL), 0);
	assert_int_equal(none.count, 0);
}

static void links_and_pipes_in_the_store_are_never_followed(void **state)
{
	static const char *const endings[] = {".part", ".layers", ".ext4"};
	char victim[128];

	(void)state;
	snprintf(victim, sizeof(victim), "%s/victim", folder);
	for (size_t i = 0; i < 3 * COUNT_OF(endings); i++) {
		auto_close int hold = -1;
		auto_base_draft struct base_draft *draft = NULL;
		auto_free char *bytes = NULL;
		const char *path;
		size_t size = 0;

		make_base('a', "1", false);
		write_file(victim, "precious");
		path = file_of('a', endings[i / 3]);
		assert_int_equal(file_remove_tree(AT_FDCWD, path), 0);
		if (i % 3 == 0)
			assert_int_equal(symlink(victim, path), 0);
		else if (i % 3 == 1)
			assert_int_equal(link(victim, path), 0);
		else
			assert_int_equal(mkfifo(path, 0600), 0);
		if (i / 3 == 2 && i % 3 == 1) /* a file of that name is a base */
			continue;
		draft = open_draft('a', &hold);
		make_layer(draft, '2');
		assert_int_equal(base_draft_publish(draft, NULL), 0);
		assert_int_equal(file_read(&bytes, &size, AT_FDCWD, victim, 100), 0);
		assert_string_equal(bytes, "precious");
		assert_int_equal(base_remove(store, key('a')), 0);
	}
}

static void strange_indexes_are_not_read(void **state)
{
	auto_close int hold = -1;
	auto_base_draft struct base_draft *draft = NULL;
	char name[128];

	(void)state;
	make_base('a', "1", false);
	snprintf(name, sizeof(name), ".layers/%.64s", key('2'));
	assert_int_equal(symlink("/etc/passwd", file_of('a', name)), 0);
	snprintf(name, sizeof(name), ".layers/%.64s.part", key('3'));
	assert_int_equal(mkdir(file_of('a', name), 0700), 0);
	draft = open_draft('a', &hold);
	assert_true(is_complete(draft, '1'));
	assert_false(is_complete(draft, '2'));
	make_layer(draft, '3');
}

/* As the child of a maker that was killed: it has nothing but the disk. */
static void a_disk_that_somebody_still_writes_to_is_waited_for_or_left(void **state)
{
	auto_close int hold = -1, disk = -1;
	auto_base_draft struct base_draft *draft = NULL;
	struct stat before, after;
	pid_t child;

	(void)state;
	make_base('a', "1", false);
	disk = open(file_of('a', ".part"), O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(disk, LOCK_EX), 0);
	assert_int_equal(fstat(disk, &before), 0);
	child = fork();
	if (child == 0) {
		poll(NULL, 0, 200);
		_exit(0);
	}
	cleanup_close(&disk);
	draft = open_draft('a', &hold);
	assert_int_equal(waitpid(child, NULL, WNOHANG), child);
	assert_true(is_complete(draft, '1'));
	base_draft_free(TAKE(draft));
	cleanup_close(&hold);
	disk = open(file_of('a', ".part"), O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(disk, LOCK_EX), 0);
	draft = open_draft('a', &hold);
	assert_false(is_complete(draft, '1'));
	assert_int_equal(fstat(base_draft_disk(draft), &after), 0);
	assert_int_not_equal(before.st_ino, after.st_ino);
}

static void a_disk_that_cannot_be_synced_is_thrown_away(void **state)
{
	auto_error struct annex_error *err = NULL;
	auto_close int hold = -1;
	auto_base_draft struct base_draft *draft = open_draft('a', &hold);

	(void)state;
	make_layer(draft, '1');
	fsync_errno = ENOSPC;
	assert_int_equal(base_draft_publish(draft, &err), -1);
	fsync_errno = 0;
	assert_int_equal(annex_error_errno(err), ENOSPC);
	base_draft_free(TAKE(draft));
	assert_false(is_there('a', ".part"));
	assert_false(is_there('a', ".layers"));
	assert_false(base_exists(store, key('a')));
}

static void drafts_wait_a_week_and_orphans_go_at_once(void **state)
{
	const struct timespec old[] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	struct timespec aged[] = {old[0], {.tv_sec = time(NULL) - BASE_DRAFT_KEEP - 60}};
	auto_close int hold = -1;

	(void)state;
	make_base('a', "1", false); /* young */
	make_base('b', "1", false); /* old, but held */
	make_base('c', "1", false); /* old */
	make_base('d', "1", false); /* of another boot */
	make_base('e', "1", true);  /* what an interrupted removal leaves */
	make_base('f', "1", true);  /* a base in use */
	for (char base = 'b'; base <= 'c'; base++) {
		assert_int_equal(utimensat(AT_FDCWD, file_of(base, ".part"), aged, 0), 0);
		assert_int_equal(utimensat(AT_FDCWD, file_of(base, ".layers"), aged, 0), 0);
	}
	write_file(file_of('d', ".layers/boot"), "another\n");
	assert_int_equal(unlink(file_of('e', ".ext4")), 0);
	assert_int_equal(base_hold_alone(&hold, store, key('b'), NULL, NULL, NULL), 0);
	collect("f");
	assert_true(is_there('a', ".part") && is_there('a', ".layers"));
	assert_true(is_there('b', ".part") && is_there('b', ".layers"));
	assert_false(is_there('c', ".part") || is_there('c', ".layers"));
	assert_false(is_there('d', ".part") || is_there('d', ".layers"));
	assert_false(is_there('e', ".layers"));
	assert_true(is_there('f', ".ext4") && is_there('f', ".layers"));
	cleanup_close(&hold);
	hold = -1;
	collect(NULL);
	assert_false(is_there('b', ".part") || is_there('b', ".layers"));
	assert_false(is_there('f', ".ext4") || is_there('f', ".layers"));
}

static void a_draft_is_removed_unless_it_is_held(void **state)
{
	auto_close int hold = -1;
	uint64_t size = 0;

	(void)state;
	make_base('a', "1", false);
	assert_int_equal(base_draft_remove(&size, store, key('a'), true), 0);
	assert_int_equal(size, 0);
	assert_true(is_there('a', ".part"));
	assert_int_equal(base_hold_alone(&hold, store, key('a'), NULL, NULL, NULL), 0);
	assert_int_equal(base_draft_remove(&size, store, key('a'), false), -EWOULDBLOCK);
	cleanup_close(&hold);
	hold = -1;
	assert_int_equal(base_draft_remove(&size, store, key('a'), false), 0);
	assert_true(size > 0);
	assert_false(is_there('a', ".part") || is_there('a', ".layers"));
	make_base('a', "1", true);
	assert_int_equal(base_draft_remove(&size, store, key('a'), false), 0);
	assert_true(is_there('a', ".ext4") && is_there('a', ".layers"));
}

static void a_donor_stays_as_long_as_it_is_used(void **state)
{
	auto_base_donor struct base_donor donor = {-EBADF, -EBADF, -EBADF, ""};

	(void)state;
	make_base('a', "1", true);
	assert_int_equal(base_find_donor(&donor, store, key('b'), diff_id('1'), NULL), 0);
	collect(NULL);
	assert_true(base_exists(store, key('a')));
	assert_layer(donor.disk, donor.index, '1');
	base_donor_clear(&donor);
	collect(NULL);
	assert_false(is_there('a', ".ext4") || is_there('a', ".layers"));
}

static void a_base_that_is_made_or_removed_is_no_donor(void **state)
{
	auto_base_donor struct base_donor donor = {-EBADF, -EBADF, -EBADF, ""};
	auto_close int hold = -1;

	(void)state;
	make_base('a', "1", true);
	make_base('c', "1", false);
	assert_int_equal(base_hold_alone(&hold, store, key('a'), NULL, NULL, NULL), 0);
	assert_int_equal(base_find_donor(&donor, store, key('b'), diff_id('1'), NULL), 0);
	assert_int_equal(donor.hold, -EBADF);
}

/* What must be true whenever its maker is dead; then the next one finishes. */
static void check_after_death(const char *layers, const char *made)
{
	auto_close int hold = -1;
	struct base_draft *draft = NULL;

	collect("a");
	assert_int_equal(base_hold_alone(&hold, store, key('a'), NULL, NULL, NULL), 0);
	if (!base_exists(store, key('a'))) {
		assert_int_equal(base_draft_open(&draft, store, key('a'), NULL), 0);
		for (const char *layer = layers; *layer; layer++) {
			auto_close int index = -1;
			bool complete = false;

			assert_int_equal(base_draft_index(&index, &complete, draft, diff_id(*layer), NULL), 0);
			if (complete)
				assert_layer(base_draft_disk(draft), index, *layer);
			else if (strchr(made, *layer))
				assert_string_equal("a layer", "lost");
		}
		for (const char *layer = layers; *layer; layer++)
			make_layer(draft, *layer);
		assert_int_equal(base_draft_publish(draft, NULL), 0);
		base_draft_free(draft);
	}
	cleanup_close(&hold);
	for (; *layers; layers++) {
		auto_base_donor struct base_donor donor = {-EBADF, -EBADF, -EBADF, ""};

		assert_int_equal(base_find_donor(&donor, store, key('b'), diff_id(*layers), NULL), 0);
		assert_layer(donor.disk, donor.index, *layers);
	}
}

/* What `work` does in a child that is killed before its step of this number. 0: it came to its end. */
static int live_for(int steps, void (*work)(void *data), void *data)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		steps_to_live = steps;
		work(data);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	return status;
}

static void make_and_tell(void *data)
{
	char *made = data;
	auto_close int hold = -1;
	struct base_draft *draft = open_draft('a', &hold);

	for (const char *layer = "123"; *layer; layer++) {
		make_layer(draft, *layer);
		*made++ = *layer;
	}
	assert_int_equal(base_draft_publish(draft, NULL), 0);
	base_draft_free(draft);
}

static void a_maker_may_be_killed_before_any_step(void **state)
{
	char *made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int steps = 1;

	(void)state;
	assert_ptr_not_equal(made, MAP_FAILED);
	for (;; steps++) {
		int status;

		memset(made, 0, 4);
		status = live_for(steps, make_and_tell, made);
		check_after_death("123", made);
		assert_int_equal(base_remove(store, key('a')), 0);
		if (status == 0)
			break;
	}
	assert_in_range(steps, 12, 100);
	assert_int_equal(munmap(made, 4096), 0);
}

static void one_maker_after_another_may_be_killed(void **state)
{
	char *made = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)state;
	for (int steps = 1; live_for(steps, make_and_tell, made) != 0; steps++)
		assert_true(steps < 100);
	check_after_death("123", "123");
	assert_int_equal(munmap(made, 4096), 0);
}

static void remove_all(void *data)
{
	(void)data;
	collect(NULL);
}

static void a_removal_may_be_killed_before_any_step(void **state)
{
	int status = -1;

	(void)state;
	for (int steps = 1; status != 0; steps++) {
		make_base('a', "123", true);
		status = live_for(steps, remove_all, NULL);
		if (is_there('a', ".ext4"))
			check_after_death("123", "123");
		collect(NULL);
		assert_false(is_there('a', ".ext4") || is_there('a', ".layers"));
		assert_true(steps < 100);
	}
}

static void give_up(void *data)
{
	auto_close int hold = -1;
	struct base_draft *draft = open_draft('a', &hold);

	(void)data;
	assert_int_equal(base_draft_reset(draft, NULL), 0);
	base_draft_free(draft);
}

static void a_reset_may_be_killed_before_any_step(void **state)
{
	int status = -1;

	(void)state;
	for (int steps = 1; status != 0; steps++) {
		make_base('a', "12", false);
		status = live_for(steps, give_up, NULL);
		check_after_death("12", "");
		assert_int_equal(base_remove(store, key('a')), 0);
		assert_true(steps < 100);
	}
}

static void run_maker(char base)
{
	for (int i = 0; i < 20; i++) {
		auto_close int hold = -1;
		struct base_draft *draft;

		assert_int_equal(base_hold_alone(&hold, store, key(base), NULL, NULL, NULL), 0);
		if (base_exists(store, key(base)))
			continue;
		assert_int_equal(base_draft_open(&draft, store, key(base), NULL), 0);
		make_layer(draft, '1');
		if (i % 3)
			make_layer(draft, '2');
		if (i % 3 == 2)
			assert_int_equal(base_draft_publish(draft, NULL), 0);
		base_draft_free(draft);
	}
}

static void run_donor_user(void)
{
	for (int i = 0; i < 100; i++) {
		auto_base_donor struct base_donor donor = {-EBADF, -EBADF, -EBADF, ""};

		assert_int_equal(base_find_donor(&donor, store, key('c'), diff_id("12"[i % 2]), NULL), 0);
		if (donor.hold >= 0)
			assert_layer(donor.disk, donor.index, "12"[i % 2]);
	}
}

static void run_collector(void)
{
	for (int i = 0; i < 50; i++) {
		auto_base_draft_list struct base_draft_list list = {0};
		uint64_t size = 0;

		collect(NULL);
		assert_int_equal(base_draft_list(&list, store, NULL), 0);
		if (list.count && i % 5 == 0 && base_draft_remove(&size, store, list.items[0].key, false) < 0)
			continue;
	}
}

static void makers_collectors_and_users_of_donors_get_along(void **state)
{
	pid_t children[6];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(children); i++) {
		children[i] = fork();
		if (children[i] != 0)
			continue;
		if (i < 3)
			run_maker("aab"[i]);
		else if (i == 3)
			run_donor_user();
		else
			run_collector();
		_exit(0);
	}
	for (size_t i = 0; i < COUNT_OF(children); i++) {
		int status = -1;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	collect("ab");
	check_after_death("12", "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_set_up, store_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_published_base_is_read_only_and_offers_its_layers),
		TEST(a_dropped_index_is_offered_no_more),
		TEST(complete_layers_of_a_draft_that_was_left_are_kept),
		TEST(a_draft_without_a_complete_layer_leaves_nothing),
		TEST(a_reset_frees_the_space_at_once_and_keeps_the_descriptor),
		TEST(a_draft_of_another_boot_is_thrown_away),
		TEST(the_title_is_told),
		TEST(links_and_pipes_in_the_store_are_never_followed),
		TEST(strange_indexes_are_not_read),
		TEST(a_disk_that_somebody_still_writes_to_is_waited_for_or_left),
		TEST(a_disk_that_cannot_be_synced_is_thrown_away),
		TEST(drafts_wait_a_week_and_orphans_go_at_once),
		TEST(a_draft_is_removed_unless_it_is_held),
		TEST(a_donor_stays_as_long_as_it_is_used),
		TEST(a_base_that_is_made_or_removed_is_no_donor),
		TEST(a_maker_may_be_killed_before_any_step),
		TEST(one_maker_after_another_may_be_killed),
		TEST(a_removal_may_be_killed_before_any_step),
		TEST(a_reset_may_be_killed_before_any_step),
		TEST(makers_collectors_and_users_of_donors_get_along),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
