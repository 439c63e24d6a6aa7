/*
 * A finished base keeps the indexes of its layers in KEY.layers, which say where on its disk their contents are. A
 * donor is held shared, like a base that a machine is made of: who removes bases passes it by.
 */
#include "store/base-donor.h"

#include "base/digest.h"
#include "base/file.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct search {
	struct store *store;
	const char *key;  /* not this one */
	const char *name; /* of the index */
	struct base_donor found;
};

void base_donor_clear(struct base_donor *donor)
{
	cleanup_close(&donor->index);
	cleanup_close(&donor->disk);
	cleanup_close(&donor->hold);
	*donor = (struct base_donor){.hold = -EBADF, .disk = -EBADF, .index = -EBADF};
}

/* 1: found. Bases that can't be read are no donors, and no reason to fail. */
static int try_base(const char *name, void *data)
{
	struct search *search = data;
	struct store *store = search->store;
	auto_close int hold = -EBADF, disk = -EBADF, index = -EBADF, folder = -EBADF;
	char key[BASE_KEY_TEXT], file[BASE_FILE_NAME];

	if (!base_key_of_file(key, name, BASE_LAYERS) || strcmp(key, search->key) == 0)
		return 0;
	folder = openat(store->bases, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return 0;
	index = file_open_regular(folder, search->name, O_RDONLY);
	if (index < 0 || !base_exists(store, key) || base_try_hold(&hold, store, key) < 0)
		return 0;
	/* It may have been removed and made anew until it was held. */
	cleanup_close(&index);
	index = file_open_regular(folder, search->name, O_RDONLY);
	base_file_name(file, key, BASE_DISK);
	disk = file_open_regular(store->bases, file, O_RDONLY);
	if (index < 0 || disk < 0)
		return 0;
	search->found = (struct base_donor){.hold = TAKE_FD(hold), .disk = TAKE_FD(disk), .index = TAKE_FD(index)};
	snprintf(search->found.key, sizeof(search->found.key), "%s", key);
	return 1;
}

int base_find_donor(struct base_donor *ret, struct store *store, const char *key, const char *diff_id,
		    struct annex_error **err)
{
	struct search search = {.store = store, .key = key, .name = digest_hex(diff_id)};
	int result;

	assert(digest_is_valid(diff_id));
	search.found = (struct base_donor){.hold = -EBADF, .disk = -EBADF, .index = -EBADF};
	result = store_each_name(store->bases, try_base, &search);
	if (result < 0)
		return fail_os(err, result, "cannot read %s/bases", store->path);
	*ret = search.found;
	return 0;
}

void base_drop_index(struct store *store, const char *key, const char *diff_id)
{
	auto_close int folder = -EBADF;
	char name[BASE_FILE_NAME];

	base_file_name(name, key, BASE_LAYERS);
	folder = openat(store->bases, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder >= 0)
		unlinkat(folder, digest_hex(diff_id), 0);
}
