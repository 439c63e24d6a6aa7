/*
 * Pulling: what a name leads to is asked first by HEAD, if an image of that name is here and it is known what the name
 * led to then; when it is still the same, nothing else is to be done. Else the manifest for the platform is looked up,
 * and the image is made (lib/acquire.h). A reference by digest can't lead anywhere else: then nobody is asked.
 */
#include "lib/pull.h"

#include "lib/acquire.h"
#include "lib/context.h"
#include "lib/image.h"
#include "registry/reference.h"
#include "registry/source.h"

#include <string.h>

static const char step[] = "pull";

struct pull {
	const struct pull_request *request;
	struct reference reference;
	struct platform platform;
	char *name; /* normalised */
	char *text; /* of reports */
	struct registry_client *client;
};

static void pull_clear(struct pull *pull)
{
	registry_client_free(pull->client);
	reference_clear(&pull->reference);
	free(pull->name);
	free(pull->text);
}

int pull_scheme(enum registry_scheme *ret, const char *text, struct annex_error **err)
{
	static const char *const names[] = {
		[REGISTRY_AUTO] = "auto", [REGISTRY_HTTPS] = "https", [REGISTRY_HTTP] = "http"};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(text ? text : "auto", names[i]) == 0) {
			*ret = (enum registry_scheme)i;
			return 0;
		}
	}
	return fail(err, ANNEX_ERROR_USAGE, "scheme '%.40s' is not one of auto, https, http", text);
}

static void report_notice(const char *text, void *data)
{
	context_report(data, step, text ? text : "asking the registry", 0, 0, false);
}

static int refuse_source(const char *text, struct annex_error **err)
{
	if (!image_source_is_spec(text))
		return 0;
	fail(err, ANNEX_ERROR_USAGE, "files are imported, not pulled");
	return fail_hint(err, "annex image import %s", text);
}

static int begin(struct pull *pull, struct annex_error **err)
{
	struct annex_context *context = pull->request->context;
	struct registry_client_options options = {.check = context_stops, .notice = report_notice, .data = context};

	if (refuse_source(pull->request->reference, err) < 0 ||
	    pull_scheme(&options.scheme, pull->request->scheme, err) < 0 ||
	    reference_parse(&pull->reference, pull->request->reference, err) < 0 ||
	    acquire_platform(&pull->platform, pull->request->platform, err) < 0)
		return -1;
	pull->name = reference_text(&pull->reference);
	if (!pull->name || asprintf(&pull->text, "pulling %.300s", pull->request->reference) < 0) {
		pull->text = NULL;
		return fail_memory(err);
	}
	return registry_client_new(&pull->client, &options, err);
}

/* Does the name still lead to this image, which is here? */
static int check_current(bool *ret, struct pull *pull, const struct image_record *record, struct annex_error **err)
{
	const char *root = image_record_root(record, pull->name);
	auto_free char *digest = NULL;
	struct platform there;

	*ret = false;
	if (!root || platform_parse(&there, record->platform, NULL) < 0 || !platform_match(&pull->platform, &there))
		return 0;
	if (!pull->reference.digest && registry_head(&digest, pull->client, &pull->reference, err) < 0)
		return -1;
	*ret = !digest || strcmp(digest, root) == 0;
	return 0;
}

/* *ret_found: the image of that name is here, and it is the one that the name leads to. */
static int find_current(struct image_entry *ret, bool *ret_found, struct pull *pull, struct annex_error **err)
{
	const struct pull_request *request = pull->request;
	auto_image_entry struct image_entry entry = {0};
	auto_error struct annex_error *why = NULL;

	*ret_found = false;
	if (entry_find_held(&entry, request->context, request->store, pull->name, &why) < 0) {
		if (annex_error_kind(why) != ANNEX_ERROR_CANCELLED)
			return 0; /* what is wrong with it, is right when it is pulled again */
		if (err)
			*err = TAKE(why);
		return -1;
	}
	if (check_current(ret_found, pull, &entry.record, err) < 0)
		return -1;
	if (*ret_found) {
		*ret = entry;
		entry = (struct image_entry){0};
	}
	return 0;
}

static void put_first(struct text_list *names, const char *name)
{
	for (size_t i = 1; i < names->count; i++) {
		char *found = names->items[i];

		if (strcmp(found, name) != 0)
			continue;
		memmove(names->items + 1, names->items, i * sizeof(*names->items));
		names->items[0] = found;
	}
}

static int fetch(struct image_entry *ret, struct pull *pull, struct annex_error **err)
{
	const struct pull_request *request = pull->request;
	auto_image_manifest struct image_manifest manifest = {0};
	auto_free char *root = NULL;
	struct acquisition acquisition = {.disk = {.context = request->context,
						   .store = request->store,
						   .manifest = &manifest,
						   .title = request->reference,
						   .text = pull->text,
						   .client = pull->client,
						   .reference = &pull->reference},
					  .name = pull->name};

	if (registry_resolve(&manifest, &root, pull->client, &pull->reference, &pull->platform, err) < 0)
		return -1;
	context_report(request->context, step, "asking the registry", 0, 0, true);
	acquisition.root = root;
	return acquire(ret, &acquisition, err);
}

static int run(struct image_entry *ret, bool *ret_changed, const struct pull_request *request, struct annex_error **err)
{
	CLEANUP(pull_clear) struct pull pull = {.request = request};
	bool found = false;

	if (begin(&pull, err) < 0)
		return -1;
	context_report(request->context, step, "asking the registry", 0, 0, false);
	if (find_current(ret, &found, &pull, err) < 0)
		return -1;
	if (found)
		context_report(request->context, step, "asking the registry", 0, 0, true);
	else if (fetch(ret, &pull, err) < 0)
		return -1;
	put_first(&ret->record.names, pull.name);
	*ret_changed = !found;
	return 0;
}

int pull_image(struct image_entry *ret, bool *ret_changed, const struct pull_request *request, struct annex_error **err)
{
	struct annex_error *why = NULL;
	auto_free char *what = NULL;

	if (run(ret, ret_changed, request, &why) == 0)
		return 0;
	if (asprintf(&what, "cannot pull %.300s", request->reference) < 0)
		what = NULL;
	return acquire_failed(err, why, request->context, what ? what : "cannot pull an image");
}
