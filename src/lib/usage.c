/*
 * Nothing is locked: another process may make or delete something meanwhile, and what it is about to use does not look
 * used yet. So what is told here may be a little behind, while prune decides for itself again.
 */
#include "annex/usage.h"

#include "base/file.h"
#include "base/spawn.h"
#include "kernel/kernel.h"
#include "kernel/record.h"
#include "lib/machine.h"
#include "lib/uses.h"
#include "store/base-draft.h"
#include "store/catalog.h"

#include <fcntl.h>
#include <string.h>

struct count_bases {
	struct store *store;
	const struct catalog *catalog;
	const struct uses *uses;
	struct annex_usage *usage;
};

/* Does a machine use the base, or an image that is made of it? */
static bool base_is_used(const struct count_bases *count, const char *key)
{
	if (uses_base(count->uses, key))
		return true;
	for (size_t i = 0; i < count->catalog->count; i++) {
		const struct image_record *record = &count->catalog->items[i];

		if (strcmp(record->base, key) == 0 && uses_image(count->uses, record->id, key))
			return true;
	}
	return false;
}

static int count_base(const char *name, void *data)
{
	struct count_bases *count = data;
	char key[BASE_KEY_TEXT];
	uint64_t size;

	if (!base_key_of_file(key, name, BASE_DISK))
		return 0;
	size = base_size(count->store, key);
	count->usage->size += size;
	if (!base_is_used(count, key))
		count->usage->reclaimable += size;
	return 0;
}

/* Bases count for themselves, since images share them, and machines use them whose image was deleted. */
static int count_images(struct annex_usage *usage, struct store *store, const struct uses *uses,
			struct annex_error **err)
{
	auto_catalog struct catalog catalog = {0};
	struct count_bases bases = {store, &catalog, uses, usage};
	int result;

	usage->kind = "images";
	if (catalog_list(&catalog, store, err) < 0)
		return -1;
	for (size_t i = 0; i < catalog.count; i++) {
		const struct image_record *record = &catalog.items[i];
		uint64_t size = catalog_documents_size(store, record);

		usage->count++;
		usage->size += size;
		if (uses_image(uses, record->id, record->base))
			usage->active++;
		else
			usage->reclaimable += size;
	}
	result = store_each_name(store->bases, count_base, &bases);
	return result < 0 ? fail_os(err, result, "cannot read %s/bases", store->path) : 0;
}

static int count_drafts(struct annex_usage *usage, struct store *store, struct annex_error **err)
{
	auto_base_draft_list struct base_draft_list drafts = {0};

	usage->kind = "unfinished downloads";
	if (base_draft_list(&drafts, store, err) < 0)
		return -1;
	for (size_t i = 0; i < drafts.count; i++) {
		usage->count++;
		usage->size += drafts.items[i].size;
		if (drafts.items[i].is_held)
			usage->active++;
		else
			usage->reclaimable += drafts.items[i].size;
	}
	return 0;
}

/* Without asking its supervisor, which may take its time. */
static bool is_running(const struct machine_paths *paths)
{
	auto_machine_run struct machine_run run = {0};
	auto_error struct annex_error *err = NULL;

	if (machine_run_load(&run, paths, &err) < 0)
		return annex_error_kind(err) != ANNEX_ERROR_NOT_FOUND;
	return spawn_start_time((pid_t)run.pid) == run.pid_start;
}

static int count_machines(struct annex_usage *usage, const struct annex_context *context, struct annex_error **err)
{
	auto_text_list struct text_list names = {0};

	usage->kind = "machines";
	if (machine_names(&names, context, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		auto_machine_paths struct machine_paths paths = {0};
		uint64_t size;

		if (machine_paths_make(&paths, context->data, context->config, context->runtime, names.items[i], err) <
		    0)
			return -1;
		size = file_tree_size(AT_FDCWD, paths.folder);
		usage->count++;
		usage->size += size;
		if (is_running(&paths))
			usage->active++;
		else
			usage->reclaimable += size;
	}
	return 0;
}

struct count_files {
	const char *folder;
	const struct uses *uses;
	struct annex_usage *usage;
};

/* Kernels that were unpacked because a machine named them by a path. Nobody deletes them by hand: reclaimable is none
 * of them. */
static int count_file(const char *name, void *data)
{
	struct count_files *count = data;
	auto_free char *folder = path_join(count->folder, name);
	auto_kernel_record struct kernel_record record = {0};

	if (!folder)
		return -ENOMEM;
	if (*name == '.' || kernel_record_read(&record, folder, NULL) < 0)
		return 0;
	count->usage->count++;
	count->usage->size += file_tree_size(AT_FDCWD, folder);
	if (uses_kernel(count->uses, record.source))
		count->usage->active++;
	return 0;
}

static int count_files(struct annex_usage *usage, const char *kernels, const struct uses *uses,
		       struct annex_error **err)
{
	auto_free char *folder = path_join(kernels, KERNEL_FILES);
	struct count_files count = {folder, uses, usage};
	auto_close int dir = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
	int result;

	if (!folder)
		return fail_memory(err);
	if (dir < 0)
		return errno == ENOENT ? 0 : fail_os(err, errno, "cannot open %s", folder);
	result = store_each_name(dir, count_file, &count);
	return result < 0 ? fail_os(err, result, "cannot read %s", folder) : 0;
}

static int count_kernels(struct annex_usage *usage, const struct annex_context *context, const struct uses *uses,
			 struct annex_error **err)
{
	auto_free char *folder = path_join(context->data, "kernels");
	struct kernel **list = NULL;
	size_t count = 0;

	usage->kind = "kernels";
	if (!folder)
		return fail_memory(err);
	if (kernel_list(&list, &count, folder, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		uint64_t size = file_tree_size(AT_FDCWD, list[i]->folder);

		usage->count++;
		usage->size += size;
		if (uses_kernel(uses, list[i]->name) || (list[i]->is_default && uses_kernel(uses, "default")))
			usage->active++;
		else
			usage->reclaimable += size;
	}
	kernel_list_free(list, count);
	return count_files(usage, folder, uses, err);
}

API int annex_usage_list(struct annex_usage **ret, size_t *ret_count, struct annex_context *context,
			 struct annex_error **err)
{
	enum { IMAGES, DRAFTS, MACHINES, KERNELS, KINDS };
	auto_free struct annex_usage *list = calloc(KINDS, sizeof(*list));
	auto_free char *folder = NULL;
	auto_store struct store *store = NULL;
	auto_uses struct uses uses = {0};

	if (!list)
		return fail_memory(err);
	if (context_folder(&folder, context, "images", err) < 0 || store_open(&store, folder, err) < 0 ||
	    uses_load(&uses, context, err) < 0 || count_images(&list[IMAGES], store, &uses, err) < 0 ||
	    count_drafts(&list[DRAFTS], store, err) < 0 || count_machines(&list[MACHINES], context, err) < 0 ||
	    count_kernels(&list[KERNELS], context, &uses, err) < 0)
		return -1;
	*ret = TAKE(list);
	*ret_count = KINDS;
	return 0;
}

API void annex_usage_free(struct annex_usage *list)
{
	free(list);
}
