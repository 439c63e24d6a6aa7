/*
 * An image for a new machine, wherever it is: in the store, in files, in a registry.
 */
#include "lib/obtain.h"

#include "base/file.h"
#include "lib/context.h"
#include "lib/import.h"
#include "lib/pull.h"
#include "registry/reference.h"
#include "registry/source.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

enum policy {
	PULL_MISSING,
	PULL_ALWAYS,
	PULL_NEVER,
};

void obtained_clear(struct obtained *obtained)
{
	annex_image_unref(obtained->image);
	if (obtained->hold > 0)
		close(obtained->hold);
	*obtained = (struct obtained){0};
}

/* The name that the user gave if that is what it is, else the latest. */
static const char *name_for(const struct annex_image *image, const char *text)
{
	auto_free char *name = NULL;
	ssize_t index = 0;

	if (image->names.count == 0)
		return image->record.id;
	if (reference_normalise(&name, text, NULL) == 0)
		index = image_record_find_name(&image->record, name);
	return image->names.items[index < 0 ? 0 : index];
}

static int choose_policy(enum policy *ret, const char *text, struct annex_error **err)
{
	static const char *const names[] = {
		[PULL_MISSING] = "missing", [PULL_ALWAYS] = "always", [PULL_NEVER] = "never"};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(text ? text : "missing", names[i]) == 0) {
			*ret = (enum policy)i;
			return 0;
		}
	}
	return fail(err, ANNEX_ERROR_USAGE, "pull '%.40s' is not one of missing, always, never", text);
}

static int check_platform(const struct image_record *record, const char *name, const char *text,
			  struct annex_error **err)
{
	struct platform wanted, there;

	if (!text)
		return 0;
	if (platform_parse(&wanted, text, err) < 0 || platform_parse(&there, record->platform, err) < 0)
		return -1;
	if (platform_match(&wanted, &there) > 0)
		return 0;
	fail(err, ANNEX_ERROR_NOT_FOUND, "the image that is here is for %s, not for %s", record->platform, text);
	return fail_hint(err, "annex image pull --platform %s %s", text, name);
}

/* One that is here. */
static int find_here(struct image_entry *ret, struct annex_context *context, struct store *store, const char *text,
		     const char *platform, struct annex_error **err)
{
	auto_image_entry struct image_entry entry = {0};

	if (entry_find_held(&entry, context, store, text, err) < 0 ||
	    check_platform(&entry.record, text, platform, err) < 0)
		return -1;
	*ret = entry;
	entry = (struct image_entry){0};
	return 0;
}

/* "images/debian" can be a reference, but where there is such a folder, that is what was meant. */
static bool is_path(const char *text)
{
	return strchr(text, '/') && file_exists(AT_FDCWD, text);
}

/* What is not here is pulled, unless it can't be a name. */
static int find_or_pull(struct image_entry *ret, struct annex_context *context, struct store *store, const char *text,
			const struct obtain_options *options, struct annex_error **err)
{
	const struct pull_request request = {.context = context,
					     .store = store,
					     .reference = text,
					     .platform = options->platform,
					     .scheme = options->scheme};
	auto_error struct annex_error *why = NULL;
	enum policy policy;
	bool changed;

	if (choose_policy(&policy, options->pull, err) < 0)
		return -1;
	if (policy != PULL_ALWAYS && find_here(ret, context, store, text, options->platform, &why) == 0)
		return 0;
	if (why && (policy == PULL_NEVER || is_path(text) || annex_error_kind(why) != ANNEX_ERROR_NOT_FOUND)) {
		if (err)
			*err = TAKE(why);
		return -1;
	}
	return pull_image(ret, &changed, &request, err);
}

int obtain_image(struct obtained *ret, struct annex_context *context, const char *text,
		 const struct obtain_options *options, struct annex_error **err)
{
	const struct annex_image_import_options import = {
		.size = sizeof(import), .platform = options->platform, .input_fd = options->input_fd};
	auto_store struct store *store = NULL;
	auto_image_entry struct image_entry entry = {0};
	struct annex_image *image = NULL;
	int result;

	if (entry_open_store(&store, context, err) < 0)
		return -1;
	if (image_source_is_spec(text))
		result = import_image(&entry, context, store, text, &import, err);
	else
		result = find_or_pull(&entry, context, store, text, options, err);
	if (result < 0 || image_make(&image, context, store, &entry, err) < 0)
		return -1;
	assert(image);
	*ret = (struct obtained){.image = image, .name = name_for(image, text), .hold = entry.hold};
	entry.hold = 0;
	return 0;
}
