#include "lib/uses.h"

#include "lib/machine.h"

void uses_clear(struct uses *uses)
{
	text_list_clear(&uses->bases);
	text_list_clear(&uses->images);
	text_list_clear(&uses->kernels);
	*uses = (struct uses){0};
}

static int add_machine(struct uses *uses, const struct annex_context *context, const char *name)
{
	auto_machine_paths struct machine_paths paths = {0};
	auto_machine_record struct machine_record record = {0};
	auto_error struct annex_error *err = NULL;

	if (machine_paths_make(&paths, context->data, context->config, context->runtime, name, &err) < 0 ||
	    machine_record_load(&record, &paths, &err) < 0) {
		if (annex_error_kind(err) != ANNEX_ERROR_NOT_FOUND) /* deleted meanwhile */
			uses->unclear = true;
		return 0;
	}
	if (text_list_add(&uses->bases, record.base) < 0 || text_list_add(&uses->images, record.image_id) < 0 ||
	    text_list_add(&uses->kernels, record.settings.kernel) < 0)
		return -ENOMEM;
	return 0;
}

int uses_load(struct uses *ret, const struct annex_context *context, struct annex_error **err)
{
	auto_text_list struct text_list names = {0};
	auto_uses struct uses uses = {0};

	if (machine_names(&names, context, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		if (add_machine(&uses, context, names.items[i]) < 0)
			return fail_memory(err);
	}
	*ret = uses;
	uses = (struct uses){0};
	return 0;
}

static bool has(const struct uses *uses, const struct text_list *list, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (text_equal(list->items[i], text))
			return true;
	}
	return uses->unclear;
}

bool uses_base(const struct uses *uses, const char *key)
{
	return has(uses, &uses->bases, key);
}

bool uses_image(const struct uses *uses, const char *id, const char *key)
{
	return has(uses, &uses->images, id) || has(uses, &uses->bases, key);
}

size_t uses_image_count(const struct uses *uses, const char *id, const char *key)
{
	size_t count = 0;

	for (size_t i = 0; i < uses->bases.count && i < uses->images.count; i++)
		count += text_equal(uses->images.items[i], id) || text_equal(uses->bases.items[i], key);
	return count;
}

bool uses_kernel(const struct uses *uses, const char *name)
{
	return has(uses, &uses->kernels, name);
}
