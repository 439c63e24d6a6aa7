#include "fuse-guest.h"

#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#define MANY 3000

static void make_many(const struct guest *guest)
{
	char name[32];

	assert_int_equal(mkdirat(guest->host, "many", 0755), 0);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many/file-%d", i);
		host_write(guest, name, "");
	}
}

static void expect_all(const char *names)
{
	char name[32];
	size_t size = 0;

	for (const char *at = names; *at; at++)
		size += *at == '/';
	assert_int_equal(size, MANY + 2);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "/file-%d/", i);
		assert_non_null(strstr(names, name));
	}
}

static void list_all(struct guest *guest, uint32_t size, bool plus)
{
	char *names = calloc(MANY + 4, 24);
	uint64_t node = guest_walk(guest, "many"), fh = 0, offset = 0, next;

	assert_non_null(names);
	strcpy(names, "/");
	assert_int_equal(guest_open_folder(guest, node, &fh), 0);
	while ((next = guest_list(guest, node, fh, offset, size, plus, names)) != offset)
		offset = next;
	expect_all(names + 1 - (names[1] == '/'));
	free(names);
}

static void every_entry_is_listed_once_whatever_the_size(void **state)
{
	struct guest *guest = *state;

	make_many(guest);
	list_all(guest, 200, false);
	list_all(guest, 320, true);
	list_all(guest, 65536, false);
	list_all(guest, 65536, true);
}

static void listing_goes_on_from_any_offset_and_starts_anew(void **state)
{
	struct guest *guest = *state;
	char first[4096] = "", second[4096] = "", again[4096] = "";
	uint64_t node = 0, fh = 0, offset;

	make_many(guest);
	node = guest_walk(guest, "many");
	assert_int_equal(guest_open_folder(guest, node, &fh), 0);
	offset = guest_list(guest, node, fh, 0, 1024, false, first);
	guest_list(guest, node, fh, offset, 1024, false, second);
	guest_list(guest, node, fh, offset, 1024, false, again);
	assert_string_equal(second, again);
	again[0] = '\0';
	guest_list(guest, node, fh, 0, 1024, false, again);
	assert_string_equal(first, again);
	/* From the start, what is new is seen. */
	again[0] = '\0';
	assert_int_equal(guest_mkdir(guest, guest->top, "small", 0755, &node), 0);
	assert_int_equal(guest_open_folder(guest, node, &fh), 0);
	guest_list(guest, node, fh, 0, 4096, false, again);
	assert_null(strstr(again, "new"));
	host_write(guest, "small/new", "");
	again[0] = '\0';
	guest_list(guest, node, fh, 0, 4096, false, again);
	assert_non_null(strstr(again, "new/"));
}

static void what_is_listed_with_attributes_is_known(void **state)
{
	struct guest *guest = *state;
	char names[256] = "";
	const struct fuse_direntplus *entry;
	uint64_t fh = 0, node = 0;
	struct fuse_getattr_in in = {0};

	host_write(guest, "f", "12345");
	assert_int_equal(guest_open_folder(guest, guest->top, &fh), 0);
	guest_list(guest, guest->top, fh, 0, 4096, true, names);
	entry = ANSWER(guest, struct fuse_direntplus);
	for (int i = 0; i < 3 && entry->dirent.name[0] != 'f'; i++) {
		assert_true(entry->entry_out.nodeid == 0);
		entry = (const void *)((const char *)entry + FUSE_DIRENTPLUS_SIZE(entry));
	}
	node = entry->entry_out.nodeid;
	assert_int_equal(entry->entry_out.attr.size, 5);
	assert_int_equal(entry->dirent.ino, entry->entry_out.attr.ino);
	assert_int_equal(guest_attributes(guest, node).size, 5);
	guest_forget(guest, node, 1);
	assert_int_equal(guest_ask(guest, FUSE_GETATTR, node, STRUCT(in), NOTHING, NOTHING), -ESTALE);
	/* Too small for any entry: nothing, and nothing is counted. */
	names[0] = '\0';
	assert_int_equal(guest_list(guest, guest->top, fh, 0, 8, true, names), 0);
	assert_string_equal(names, "");
}

static void a_list(struct guest *guest, uint64_t node, char *names)
{
	uint64_t fh = 0;

	names[0] = '\0';
	assert_int_equal(guest_open_folder(guest, node, &fh), 0);
	guest_list(guest, node, fh, 0, 65536, true, names);
}

static uint32_t listing_flags(struct guest *guest, uint64_t node)
{
	uint64_t fh = 0;

	assert_int_equal(guest_open_folder(guest, node, &fh), 0);
	return ANSWER(guest, struct fuse_open_out)->open_flags;
}

static void changed_seconds_ago(struct guest *guest, const char *name, int seconds)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - seconds}};

	assert_int_equal(utimensat(guest->host, name, times, 0), 0);
}

static void a_listing_is_kept_where_names_are_read_again_and_nothing_has_changed(void **state)
{
	struct guest *guest = *state;
	uint64_t node;

	assert_int_equal(mkdirat(guest->host, "d", 0755), 0);
	changed_seconds_ago(guest, "d", 1000);
	node = guest_walk(guest, "d");
	assert_int_equal(listing_flags(guest, node), 0);
	assert_int_equal(listing_flags(guest, node), FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE);
	changed_seconds_ago(guest, "d", 500);
	assert_int_equal(listing_flags(guest, node), 0);
	assert_int_equal(listing_flags(guest, node), FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE);
	changed_seconds_ago(guest, "d", -100);
	assert_int_equal(listing_flags(guest, node), 0);
	assert_int_equal(listing_flags(guest, node), 0);
}

/* Otherwise who looks at all of them would have to ask for each. */
static void a_listing_whose_entries_are_looked_at_is_read_anew(void **state)
{
	struct guest *guest = *state;
	uint64_t node;

	assert_int_equal(mkdirat(guest->host, "d", 0755), 0);
	changed_seconds_ago(guest, "d", 1000);
	node = guest_walk(guest, "d");
	listing_flags(guest, node);
	assert_int_equal(listing_flags(guest, node), FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE);
	for (int i = 0; i < 20; i++)
		guest_lookup(guest, node, "none", NULL);
	assert_int_equal(listing_flags(guest, node), 0);
	assert_int_equal(listing_flags(guest, node), 0);
}

static void shares_come_and_go_in_the_root_folder(void **state)
{
	struct guest *guest = *state;
	struct fuse_getattr_in in = {0};
	struct share_options options = {.name = "one"};
	char names[256];
	uint64_t node = 0, fh = 0;
	int fd;

	a_list(guest, FUSE_ROOT_ID, names);
	assert_string_equal(names, "./../files/");
	host_write(guest, "single", "alone");
	fd = openat(guest->host, "single", O_RDONLY | O_CLOEXEC);
	assert_int_equal(guest_share(guest, fd, &options, NULL), 0);
	assert_int_equal(guest_share(guest, fd, &options, NULL), -1);
	close(fd);
	a_list(guest, FUSE_ROOT_ID, names);
	assert_string_equal(names, "./../files/one/");
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "one", &node), 0);
	assert_int_equal(guest_open(guest, node, O_RDWR, &fh), 0);
	assert_int_equal(guest_read(guest, node, fh, 0, 100), 5);
	assert_int_equal(guest_unshare(guest, "one"), 0);
	assert_int_equal(guest_unshare(guest, "one"), -1);
	assert_int_equal(guest_read(guest, node, fh, 0, 100), -ESTALE);
	assert_int_equal(guest_ask(guest, FUSE_GETATTR, node, STRUCT(in), NOTHING, NOTHING), -ESTALE);
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "one", NULL), -ENOENT);
	guest_release(guest, node, fh);
	guest_forget(guest, node, 1);
}

/* How many of this process's descriptors lead to the folder or below. */
static unsigned held_below(const struct guest *guest)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		char target[256];
		ssize_t size = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target));

		count += size > 0 && strncmp(target, guest->place, strlen(guest->place)) == 0;
	}
	closedir(folder);
	return count;
}

static void a_share_that_is_removed_holds_nothing_of_the_host(void **state)
{
	struct guest *guest = *state;
	struct fuse_lk_in lock = {.owner = 1, .lk = {.type = F_WRLCK, .end = 10}};
	uint64_t folder = 0, node = 0, fh = 0, folder_fh = 0;

	if (guest->confined)
		return;
	assert_int_equal(guest_mkdir(guest, guest->top, "d", 0755, &folder), 0);
	assert_int_equal(guest_create(guest, folder, "f", O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(guest_open_folder(guest, folder, &folder_fh), 0);
	lock.fh = fh;
	assert_int_equal(guest_ask(guest, FUSE_SETLK, node, STRUCT(lock), NOTHING, NOTHING), 0);
	assert_true(held_below(guest) > 4);
	assert_int_equal(guest_unshare(guest, "files"), 0);
	assert_int_equal(held_below(guest), 1); /* the test's own */
	assert_int_equal(guest_write(guest, node, fh, 0, "x", 1), -ESTALE);
	assert_int_equal(guest_mkdir(guest, folder, "e", 0755, NULL), -ESTALE);
	assert_int_equal(host_stat(guest, "d/f").st_size, 0);
	guest_release(guest, node, fh);
}

static void a_folder_that_the_host_deletes_is_gone_without_harm(void **state)
{
	struct guest *guest = *state;
	struct share_options options = {.name = "doomed"};
	uint64_t top = 0, node = 0, fh = 0;
	int fd;

	assert_int_equal(mkdirat(guest->host, "doomed", 0755), 0);
	fd = openat(guest->host, "doomed", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(guest_share(guest, fd, &options, NULL), 0);
	close(fd);
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "doomed", &top), 0);
	assert_int_equal(guest_create(guest, top, "f", O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(file_remove_tree(guest->host, "doomed"), 0);
	assert_int_equal(guest_write(guest, node, fh, 0, "x", 1), 1);
	assert_int_equal(guest_lookup(guest, top, "f", NULL), -ENOENT);
	assert_int_equal(guest_mkdir(guest, top, "d", 0755, NULL), -ENOENT);
	assert_int_equal(guest_attributes(guest, top).nlink, 0);
}

static void paths_of_4095_bytes_and_longer_are_walked(void **state)
{
	struct guest *guest = *state;
	char name[201];
	uint64_t node = guest->top, fh = 0;

	memset(name, 'p', 200);
	name[200] = '\0';
	for (int i = 0; i < 40; i++)
		assert_int_equal(guest_mkdir(guest, node, name, 0755, &node), 0);
	assert_int_equal(guest_create(guest, node, name, O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(guest_write(guest, node, fh, 0, "deep", 4), 4);
	assert_int_equal(guest_attributes(guest, node).size, 4);
}

static void nothing_can_be_made_in_the_root_folder(void **state)
{
	struct guest *guest = *state;
	uint64_t fh = 0;

	assert_int_equal(guest_mkdir(guest, FUSE_ROOT_ID, "d", 0755, NULL), -EROFS);
	assert_int_equal(guest_create(guest, FUSE_ROOT_ID, "f", O_RDWR, 0644, NULL, &fh), -EROFS);
	assert_int_equal(guest_remove(guest, FUSE_ROOT_ID, "files", true), -EROFS);
	assert_int_equal(guest_rename(guest, FUSE_ROOT_ID, "files", FUSE_ROOT_ID, "x", 0), -EROFS);
	assert_int_equal(guest_rename(guest, guest->top, "x", FUSE_ROOT_ID, "x", 0), -EXDEV);
	assert_int_equal(guest_setattr(guest, FUSE_ROOT_ID, (struct fuse_setattr_in){.valid = FATTR_MODE}), -EROFS);
}

static void a_share_that_is_read_only_is_never_changed(void **state)
{
	struct guest *guest = *state;
	struct share_options options = {.name = "fixed", .read_only = true};
	struct fuse_mknod_in mknod = {.mode = S_IFREG | 0644};
	struct fuse_setxattr_in xattr = {.size = 1};
	uint64_t top = 0, node = 0, fh = 0;
	struct stat before;

	host_write(guest, "f", "fixed");
	before = host_stat(guest, "f");
	assert_int_equal(guest_share(guest, guest->host, &options, NULL), 0);
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "fixed", &top), 0);
	assert_int_equal(guest_lookup(guest, top, "f", &node), 0);
	assert_int_equal(guest_mkdir(guest, top, "d", 0755, NULL), -EROFS);
	assert_int_equal(guest_create(guest, top, "f", O_RDONLY, 0644, NULL, &fh), -EROFS);
	assert_int_equal(guest_ask(guest, FUSE_MKNOD, top, STRUCT(mknod), NAME("n"), NOTHING), -EROFS);
	assert_int_equal(guest_ask(guest, FUSE_SYMLINK, top, NOTHING, NAME("n"), NAME("t")), -EROFS);
	assert_int_equal(guest_remove(guest, top, "f", false), -EROFS);
	assert_int_equal(guest_rename(guest, top, "f", top, "g", 0), -EROFS);
	assert_int_equal(guest_link(guest, node, top, "g"), -EROFS);
	assert_int_equal(guest_open(guest, node, O_RDWR, &fh), -EROFS);
	assert_int_equal(guest_open(guest, node, O_RDONLY | O_TRUNC, &fh), -EROFS);
	assert_int_equal(guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_SIZE}), -EROFS);
	assert_int_equal(guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_MODE}), -EROFS);
	assert_int_equal(guest_setattr(guest, node, (struct fuse_setattr_in){.valid = FATTR_MTIME_NOW}), -EROFS);
	assert_int_equal(guest_ask(guest, FUSE_SETXATTR, node, STRUCT(xattr), NAME("user.x"), NAME("")), -EROFS);
	assert_int_equal(guest_ask(guest, FUSE_REMOVEXATTR, node, NOTHING, NAME("user.x"), NOTHING), -EROFS);
	assert_int_equal(guest_open(guest, node, O_RDONLY, &fh), 0);
	assert_int_equal(guest_write(guest, node, fh, 0, "x", 1), -EROFS);
	assert_int_equal(guest_read(guest, node, fh, 0, 10), 5);
	assert_int_equal(host_stat(guest, "f").st_ctim.tv_nsec, before.st_ctim.tv_nsec);
	/* Nor by what was opened by way of another share. */
	assert_int_equal(guest_link(guest, node, guest->top, "g"), -EXDEV);
}

static void modes_are_not_even_borrowed_of_what_is_read_only(void **state)
{
	struct guest *guest = *state;
	struct share_options options = {.name = "fixed", .read_only = true};
	uint64_t top = 0, node = 0, fh = 0;

	if (geteuid() == 0)
		skip();
	host_write(guest, "closed", "x");
	assert_int_equal(fchmodat(guest->host, "closed", 0, 0), 0);
	assert_int_equal(guest_share(guest, guest->host, &options, NULL), 0);
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "fixed", &top), 0);
	assert_int_equal(guest_lookup(guest, top, "closed", &node), 0);
	guest->uid = 0;
	assert_int_equal(guest_open(guest, node, O_RDONLY, &fh), -EACCES);
	assert_int_equal(guest_open(guest, guest_walk(guest, "closed"), O_RDONLY, &fh), 0);
}

static void numbers_without_births_are_held_open(void **state)
{
	struct guest *guest = *state;
	struct share_options options = {.name = "sys"};
	int fd = open("/sys/kernel", O_PATH | O_CLOEXEC);
	unsigned before;
	uint64_t top = 0, node = 0;
	struct statx stx;

	if (guest->confined)
		return;
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) < 0 || stx.stx_mask & STATX_BTIME)
		skip();
	assert_int_equal(guest_share(guest, fd, &options, NULL), 0);
	close(fd);
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "sys", &top), 0);
	before = open_descriptors();
	assert_int_equal(guest_lookup(guest, top, "mm", &node), 0);
	assert_int_equal(guest_lookup(guest, top, "mm", &node), 0);
	assert_int_equal(open_descriptors(), before + 1);
	guest_forget(guest, node, 2);
	assert_int_equal(open_descriptors(), before);
}

static void the_hosts_processes_are_no_files(void **state)
{
	struct guest *guest = *state;
	struct share_options options = {.name = "all"};
	uint64_t top = 0;
	int fd = open("/", O_PATH | O_CLOEXEC);

	assert_int_equal(guest_share(guest, fd, &options, NULL), 0);
	close(fd);
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "all", &top), 0);
	assert_int_equal(guest_lookup(guest, top, "proc", NULL), -EACCES);
	assert_int_equal(guest_lookup(guest, top, "dev", NULL), 0);
	assert_int_equal(guest_lookup(guest, top, "etc", NULL), 0);
}

static void a_guest_that_starts_anew_has_nothing_left(void **state)
{
	struct guest *guest = *state;
	uint64_t node = 0, fh = 0, old = guest->top;

	assert_int_equal(guest_create(guest, guest->top, "f", O_RDWR, 0644, &node, &fh), 0);
	guest_init(guest);
	assert_true(guest->top != old);
	assert_int_equal(guest_read(guest, node, fh, 0, 1), -ESTALE);
	assert_int_equal(guest_ask(guest, FUSE_DESTROY, 0, NOTHING, NOTHING, NOTHING), 0);
	assert_int_equal(guest_lookup(guest, FUSE_ROOT_ID, "files", NULL), -EIO);
	guest_init(guest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		AS_USER(every_entry_is_listed_once_whatever_the_size),
		AS_USER(listing_goes_on_from_any_offset_and_starts_anew),
		AS_BOTH(what_is_listed_with_attributes_is_known),
		AS_USER(a_listing_is_kept_where_names_are_read_again_and_nothing_has_changed),
		AS_USER(a_listing_whose_entries_are_looked_at_is_read_anew),
		AS_BOTH(shares_come_and_go_in_the_root_folder),
		AS_BOTH(a_share_that_is_removed_holds_nothing_of_the_host),
		AS_BOTH(a_folder_that_the_host_deletes_is_gone_without_harm),
		AS_BOTH(paths_of_4095_bytes_and_longer_are_walked),
		AS_BOTH(nothing_can_be_made_in_the_root_folder),
		AS_BOTH(a_share_that_is_read_only_is_never_changed),
		AS_USER(modes_are_not_even_borrowed_of_what_is_read_only),
		AS_BOTH(numbers_without_births_are_held_open),
		AS_BOTH(the_hosts_processes_are_no_files),
		AS_BOTH(a_guest_that_starts_anew_has_nothing_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
