/* What single machines and images take on the disk; usage.c has the sums. */
#include "annex/stats.h"
#include "annex/usage.h"

#include "base/file.h"
#include "lib/entry.h"
#include "lib/image.h"
#include "lib/machine.h"
#include "lib/uses.h"
#include "store/base.h"
#include "store/catalog.h"

#include <fcntl.h>
#include <string.h>

static void cleanup_stats(struct annex_stats **stats)
{
	annex_stats_free(*stats);
}

API void annex_usage_machines_free(struct annex_machine_usage *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i].name);
	free(list);
}

static int look_at_machine(struct annex_machine_usage *ret, struct annex_context *context,
			   const struct annex_machine_stats *stats, struct annex_error **err)
{
	auto_machine struct annex_machine *machine = NULL;
	const struct annex_machine_info *info;
	bool runs;

	if (machine_open_named(&machine, context, stats->name, err) < 0 || annex_machine_info(&info, machine, err) < 0)
		return -1;
	runs = info->state != ANNEX_MACHINE_STOPPED && info->state != ANNEX_MACHINE_FAILED;
	*ret = (struct annex_machine_usage){.name = strdup(stats->name),
					    .state = info->state,
					    .disk = info->disk,
					    .used = stats->disk_used,
					    .host = file_tree_size(AT_FDCWD, machine->paths.folder)};
	ret->reclaimable = runs ? 0 : ret->host;
	return ret->name ? 0 : fail_memory(err);
}

API int annex_usage_machines(struct annex_machine_usage **ret, size_t *ret_count, struct annex_context *context,
			     const char *const *names, struct annex_error **err)
{
	CLEANUP(cleanup_stats) struct annex_stats *stats = NULL;
	const struct annex_machine_stats *rows;
	struct annex_machine_usage *list;
	size_t count, done = 0;

	if (annex_stats_new(&stats, context, names, true, err) < 0 ||
	    annex_stats_next(&rows, &count, stats, 0, err) < 0)
		return -1;
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		auto_error struct annex_error *cause = NULL;

		if (look_at_machine(&list[done], context, &rows[i], &cause) == 0) {
			done++;
		} else if (annex_error_kind(cause) != ANNEX_ERROR_NOT_FOUND) { /* deleted meanwhile: not there */
			annex_usage_machines_free(list, done);
			if (err)
				*err = TAKE(cause);
			return -1;
		}
	}
	*ret = list;
	*ret_count = done;
	return 0;
}

API void annex_usage_images_free(struct annex_image_usage *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(list[i].name);
		free(list[i].id);
	}
	free(list);
}

/* Does anything but this image need the disk? */
static bool is_shared(const struct catalog *catalog, const struct image_record *record)
{
	for (size_t i = 0; i < catalog->count; i++) {
		const struct image_record *other = &catalog->items[i];

		if (other != record && strcmp(other->base, record->base) == 0)
			return true;
	}
	return false;
}

static int look_at_image(struct annex_image_usage *ret, struct store *store, const struct catalog *catalog,
			 const struct uses *uses, const struct image_record *record, struct annex_error **err)
{
	uint64_t documents = catalog_documents_size(store, record), base = base_size(store, record->base);

	*ret = (struct annex_image_usage){
		.id = strdup(record->id),
		.size = documents + base,
		.machines = uses_image_count(uses, record->id, record->base),
	};
	if (!uses_image(uses, record->id, record->base))
		ret->reclaimable = documents + (is_shared(catalog, record) ? 0 : base);
	if (record->names.count > 0)
		ret->name = image_familiar(record->names.items[0]);
	if (!ret->id || (record->names.count > 0 && !ret->name))
		return fail_memory(err);
	return 0;
}

API int annex_usage_images(struct annex_image_usage **ret, size_t *ret_count, struct annex_context *context,
			   struct annex_error **err)
{
	auto_store struct store *store = NULL;
	auto_catalog struct catalog catalog = {0};
	auto_uses struct uses uses = {0};
	struct annex_image_usage *list;

	if (entry_open_store(&store, context, err) < 0 || catalog_list(&catalog, store, err) < 0 ||
	    uses_load(&uses, context, err) < 0)
		return -1;
	list = calloc(catalog.count + 1, sizeof(*list));
	if (!list)
		return fail_memory(err);
	for (size_t i = 0; i < catalog.count; i++) {
		if (look_at_image(&list[i], store, &catalog, &uses, &catalog.items[i], err) < 0) {
			annex_usage_images_free(list, catalog.count);
			return -1;
		}
	}
	*ret = list;
	*ret_count = catalog.count;
	return 0;
}
