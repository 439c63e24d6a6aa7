/*
 * Nothing of a draft is synced while it is made: that would cost more than what it saves. So a draft counts only as
 * long as the kernel that took its writes runs, which KEY.layers/boot says; after a reboot it is thrown away. Within
 * one boot, whatever was written before its maker was killed is there, and a layer is complete since its index has its
 * name. There is no draft without KEY.part: it is made last when a draft is begun, after what another one left is
 * gone, and moves away when the draft is published.
 *
 * The contents of indexes are not synced for the finished base either. Only the disk has to survive a power loss: an
 * index that did not is recognised by its own checksum (rootfs/index.h), and then the base is no donor of that layer
 * any more. Their names are synced, or an index of an earlier try, whole and of another disk, could come back.
 *
 * A maker that was killed may have a child which still writes to the disk for a moment, when nobody holds the base any
 * more. So the disk is locked too. That lock goes with the open file, which the child has inherited: as long as it
 * lives, nobody else goes on with this disk.
 */
#include "store/base-draft.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"
#include "base/time.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum {
	BOOT_ID_TEXT = 40, /* with the NUL */
	INDEX_NAME = 72,   /* "HEX.part" with the NUL */
	ORPHAN_STEP_MS = 10,
	ORPHAN_STEPS = 300,
};

static const char boot_name[] = "boot", title_name[] = "title";

struct base_draft {
	struct store *store;
	char key[BASE_KEY_TEXT];
	int layers; /* folder of the indexes */
	int disk;
	size_t complete; /* indexes */
	bool published;
};

static bool is_hex(const char *name)
{
	return strspn(name, "0123456789abcdef") == 64;
}

static void index_name(char name[INDEX_NAME], const char *diff_id, const char *ending)
{
	assert(digest_is_valid(diff_id));
	snprintf(name, INDEX_NAME, "%.64s%s", digest_hex(diff_id), ending);
}

/* At most size - 1 bytes of a small file; "" when there is none. */
static void read_note(char *ret, size_t size, int dir, const char *name)
{
	auto_close int fd = file_open_regular(dir, name, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : file_read_full(fd, ret, size - 1);

	ret[n < 0 ? 0 : n] = '\0';
}

/* "" where the kernel does not tell: then no draft is trusted. */
static void read_boot_id(char ret[BOOT_ID_TEXT])
{
	read_note(ret, BOOT_ID_TEXT, AT_FDCWD, "/proc/sys/kernel/random/boot_id");
}

static int write_note(int dir, const char *name, const char *text)
{
	auto_close int fd = -EBADF;
	int result = file_remove_tree(dir, name);

	if (result < 0)
		return result;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : file_write_all(fd, text, strlen(text));
}

/* KEY.layers, made if there is none. What is no folder is removed. */
static int open_folder(int *ret, struct store *store, const char *key)
{
	char name[BASE_FILE_NAME];
	int result;

	base_file_name(name, key, BASE_LAYERS);
	for (unsigned i = 0;; i++) {
		if (mkdirat(store->bases, name, 0700) < 0 && errno != EEXIST)
			return -errno;
		*ret = openat(store->bases, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*ret >= 0)
			return 0;
		if (i > 0 || (errno != ENOTDIR && errno != ELOOP))
			return -errno;
		result = file_remove_tree(store->bases, name);
		if (result < 0)
			return result;
	}
}

/* KEY.part as an earlier maker left it; -EINVAL when it is nothing to go on with. */
static int open_disk(struct store *store, const char *key)
{
	char name[BASE_FILE_NAME];
	auto_close int fd = -EBADF;

	base_file_name(name, key, BASE_DRAFT);
	fd = file_open_regular(store->bases, name, O_RDWR);
	if (fd == -EACCES) {
		/* Its maker was interrupted between making it read-only and moving it. */
		auto_close int readable = file_open_regular(store->bases, name, O_RDONLY);

		if (readable < 0 || fchmod(readable, 0600) < 0)
			return -EINVAL;
		fd = file_open_regular(store->bases, name, O_RDWR);
	}
	if (fd < 0)
		return -EINVAL;
	for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (i >= ORPHAN_STEPS || (errno != EWOULDBLOCK && errno != EINTR))
			return -EINVAL;
		poll(NULL, 0, ORPHAN_STEP_MS);
	}
	return TAKE_FD(fd);
}

static int remove_one(const char *name, void *data)
{
	const struct base_draft *draft = data;

	return strcmp(name, boot_name) == 0 ? 0 : file_remove_tree(draft->layers, name);
}

/* Keep complete indexes and count them. */
static int tidy_one(const char *name, void *data)
{
	struct base_draft *draft = data;
	struct stat st;

	if (strcmp(name, boot_name) == 0 || strcmp(name, title_name) == 0)
		return 0;
	if (!is_hex(name) || name[64] || fstatat(draft->layers, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return file_remove_tree(draft->layers, name);
	draft->complete++;
	return 0;
}

static int tidy(struct base_draft *draft)
{
	draft->complete = 0;
	return store_each_name(draft->layers, tidy_one, draft);
}

/* Indexes first: an index without its contents must never be there. */
static int empty(struct base_draft *draft)
{
	int result = store_each_name(draft->layers, remove_one, draft);

	if (result < 0)
		return result;
	draft->complete = 0;
	return ftruncate(draft->disk, 0) < 0 || lseek(draft->disk, 0, SEEK_SET) < 0 ? -errno : 0;
}

static int begin(struct base_draft *draft, const char *boot)
{
	char name[BASE_FILE_NAME];
	int result = store_each_name(draft->layers, remove_one, draft);

	base_file_name(name, draft->key, BASE_DRAFT);
	if (result == 0)
		result = file_remove_tree(draft->store->bases, name);
	if (result == 0)
		result = write_note(draft->layers, boot_name, boot);
	if (result < 0)
		return result;
	draft->disk = openat(draft->store->bases, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (draft->disk < 0 || flock(draft->disk, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return 0;
}

/* There is no base, so what has its name is no disk, and would be in the way. */
static int remove_strange_disk(const struct base_draft *draft)
{
	char name[BASE_FILE_NAME];

	base_file_name(name, draft->key, BASE_DISK);
	return file_remove_tree(draft->store->bases, name);
}

static int resume_or_begin(struct base_draft *draft)
{
	char boot[BOOT_ID_TEXT], before[BOOT_ID_TEXT];
	int result = open_folder(&draft->layers, draft->store, draft->key);

	if (result == 0 && !base_exists(draft->store, draft->key))
		result = remove_strange_disk(draft);
	if (result < 0)
		return result;
	read_boot_id(boot);
	read_note(before, sizeof(before), draft->layers, boot_name);
	if (*boot && strcmp(boot, before) == 0)
		draft->disk = open_disk(draft->store, draft->key);
	if (draft->disk < 0)
		return begin(draft, boot);
	result = tidy(draft);
	return result == 0 && draft->complete == 0 ? empty(draft) : result;
}

int base_draft_open(struct base_draft **ret, struct store *store, const char *key, struct annex_error **err)
{
	auto_base_draft struct base_draft *draft = calloc(1, sizeof(*draft));
	int result;

	if (!draft)
		return fail_memory(err);
	draft->store = store;
	draft->layers = draft->disk = -EBADF;
	snprintf(draft->key, sizeof(draft->key), "%s", key);
	result = resume_or_begin(draft);
	if (result < 0)
		return fail_os(err, result, "cannot make a disk in %s/bases", store->path);
	*ret = TAKE(draft);
	return 0;
}

int base_draft_reset(struct base_draft *draft, struct annex_error **err)
{
	int result = empty(draft);

	return result < 0 ? fail_os(err, result, "cannot start anew with a disk in %s/bases", draft->store->path) : 0;
}

int base_draft_set_title(struct base_draft *draft, const char *title, struct annex_error **err)
{
	int result = write_note(draft->layers, title_name, title);

	return result < 0 ? fail_os(err, result, "cannot write to %s/bases", draft->store->path) : 0;
}

int base_draft_disk(const struct base_draft *draft)
{
	return draft->disk;
}

int base_draft_index(int *ret_fd, bool *ret_complete, struct base_draft *draft, const char *diff_id,
		     struct annex_error **err)
{
	char name[INDEX_NAME];
	int fd, result;

	index_name(name, diff_id, "");
	fd = file_open_regular(draft->layers, name, O_RDONLY);
	if (fd >= 0) {
		*ret_complete = true;
		*ret_fd = fd;
		return 0;
	}
	index_name(name, diff_id, BASE_DRAFT);
	result = file_remove_tree(draft->layers, name);
	if (result == 0)
		fd = openat(draft->layers, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (result < 0 || fd < 0)
		return fail_os(err, result < 0 ? result : errno, "cannot make a layer's index in %s/bases",
			       draft->store->path);
	*ret_complete = false;
	*ret_fd = fd;
	return 0;
}

int base_draft_keep(struct base_draft *draft, const char *diff_id, struct annex_error **err)
{
	char before[INDEX_NAME], name[INDEX_NAME];

	index_name(before, diff_id, BASE_DRAFT);
	index_name(name, diff_id, "");
	if (renameat(draft->layers, before, draft->layers, name) < 0)
		return fail_os(err, errno, "cannot keep a layer in %s/bases", draft->store->path);
	draft->complete++;
	return 0;
}

/* Synced before it is made read-only, which takes long: until then the next maker can go on with it. */
static int finish_disk(struct base_draft *draft, struct annex_error **err)
{
	if (fsync(draft->disk) < 0) {
		int os = errno;

		/* What was read back from memory before may be lost now. */
		if (empty(draft) < 0)
			unlinkat(draft->layers, boot_name, 0);
		return fail_os(err, os, "cannot write the base disk");
	}
	/* Overlays are written to it, it is not. */
	return fchmod(draft->disk, 0400) < 0 ? fail_os(err, errno, "cannot finish the base disk") : 0;
}

int base_draft_publish(struct base_draft *draft, struct annex_error **err)
{
	char before[BASE_FILE_NAME], name[BASE_FILE_NAME];
	int bases = draft->store->bases, result;

	if (finish_disk(draft, err) < 0)
		return -1;
	result = tidy(draft);
	if (result == 0 && fsync(draft->layers) < 0)
		result = -errno;
	if (result < 0)
		return fail_os(err, result, "cannot finish the base disk");
	base_file_name(before, draft->key, BASE_DRAFT);
	base_file_name(name, draft->key, BASE_DISK);
	if (renameat(bases, before, bases, name) < 0)
		return fail_os(err, errno, "cannot move the base disk to its place in %s/bases", draft->store->path);
	draft->published = true;
	/* They tell something about drafts only, and there they don't count without a disk. */
	unlinkat(draft->layers, boot_name, 0);
	unlinkat(draft->layers, title_name, 0);
	result = file_sync_folder(bases, ".");
	return result < 0 ? fail_os(err, result, "cannot sync %s/bases", draft->store->path) : 0;
}

static void leave(struct base_draft *draft)
{
	char name[BASE_FILE_NAME];

	if (tidy(draft) < 0 || draft->complete > 0)
		return;
	/* Space comes free even while a child that is about to end has the disk open. */
	if (draft->disk >= 0 && ftruncate(draft->disk, 0) < 0)
		return;
	base_file_name(name, draft->key, BASE_DRAFT);
	unlinkat(draft->store->bases, name, 0);
	base_file_name(name, draft->key, BASE_LAYERS);
	/* If this fails, catalog_collect() tries again. */
	(void)!file_remove_tree(draft->store->bases, name);
}

void base_draft_free(struct base_draft *draft)
{
	if (!draft)
		return;
	if (!draft->published && draft->layers >= 0)
		leave(draft);
	cleanup_close(&draft->disk);
	cleanup_close(&draft->layers);
	free(draft);
}

void base_draft_list_clear(struct base_draft_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].title);
	free(list->items);
	*list = (struct base_draft_list){0};
}

struct listing {
	struct store *store;
	struct base_draft_list list;
};

/* Since when nobody has written to it. 0: it is not there. */
static int64_t last_change(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : (int64_t)st.st_mtime;
}

static bool is_trusted(int layers)
{
	char boot[BOOT_ID_TEXT], now[BOOT_ID_TEXT];

	if (layers < 0)
		return false;
	read_boot_id(now);
	read_note(boot, sizeof(boot), layers, boot_name);
	return *now && strcmp(now, boot) == 0;
}

static void look_at(struct base_draft_info *info, struct store *store)
{
	auto_close int layers = -EBADF;
	char disk[BASE_FILE_NAME], folder[BASE_FILE_NAME], title[BASE_DRAFT_TITLE + 1];
	int64_t changed, touched;

	base_file_name(disk, info->key, BASE_DRAFT);
	base_file_name(folder, info->key, BASE_LAYERS);
	layers = openat(store->bases, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	changed = last_change(store->bases, disk);
	touched = last_change(store->bases, folder);
	info->is_stale = changed == 0 || !is_trusted(layers) ||
			 time_realtime_ns() / 1000000000 - (touched > changed ? touched : changed) > BASE_DRAFT_KEEP;
	info->size = file_tree_size(store->bases, disk);
	if (!base_exists(store, info->key))
		info->size += file_tree_size(store->bases, folder);
	if (layers < 0)
		return;
	read_note(title, sizeof(title), layers, title_name);
	info->title = *title && text_is_utf8(title, strlen(title)) ? strdup(title) : NULL;
}

/* Found by its disk, or by its folder if it has no disk. */
static int list_one(const char *name, void *data)
{
	struct listing *listing = data;
	struct base_draft_list *list = &listing->list;
	int bases = listing->store->bases;
	char disk[BASE_FILE_NAME], key[BASE_KEY_TEXT];
	bool by_disk = base_key_of_file(key, name, BASE_DRAFT);
	auto_close int hold = -EBADF;
	struct base_draft_info *grown, *info;
	struct stat st;

	if (!by_disk && !base_key_of_file(key, name, BASE_LAYERS))
		return 0;
	base_file_name(disk, key, BASE_DRAFT);
	if (!by_disk && (base_exists(listing->store, key) || fstatat(bases, disk, &st, AT_SYMLINK_NOFOLLOW) == 0))
		return 0;
	grown = reallocarray(list->items, list->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->items = grown;
	info = &grown[list->count++];
	*info = (struct base_draft_info){0};
	snprintf(info->key, sizeof(info->key), "%s", key);
	info->is_held = base_try_hold(&hold, listing->store, key) == -EWOULDBLOCK;
	look_at(info, listing->store);
	return 0;
}

int base_draft_list(struct base_draft_list *ret, struct store *store, struct annex_error **err)
{
	struct listing listing = {.store = store};
	int result = store_each_name(store->bases, list_one, &listing);

	if (result < 0) {
		base_draft_list_clear(&listing.list);
		return fail_os(err, result, "cannot read %s/bases", store->path);
	}
	*ret = listing.list;
	return 0;
}

int base_draft_remove(uint64_t *ret_size, struct store *store, const char *key, bool only_stale)
{
	static const char *const endings[] = {BASE_DRAFT, BASE_LAYERS};
	struct base_draft_info info = {0};
	auto_close int hold = -EBADF;
	char name[BASE_FILE_NAME];
	int result = base_try_hold_alone(&hold, store, key);
	size_t count = COUNT_OF(endings);

	if (result < 0)
		return result;
	/* Only now nobody works on it. It may have been published meanwhile: then the indexes are the base's. */
	if (base_exists(store, key))
		count = 1;
	snprintf(info.key, sizeof(info.key), "%s", key);
	look_at(&info, store);
	free(info.title);
	*ret_size = 0;
	if (only_stale && !info.is_stale)
		return 0;
	for (size_t i = 0; result == 0 && i < count; i++) {
		base_file_name(name, key, endings[i]);
		result = file_remove_tree(store->bases, name);
	}
	if (result == 0)
		*ret_size = info.size;
	return result;
}
