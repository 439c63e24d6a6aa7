/*
 * The context: folders by the XDG base directory specification 0.8, progress and cancellation. Nothing is made on disk
 * before it is needed, so that asking costs nothing.
 */
#include "lib/context.h"

#include "base/file.h"
#include "base/text.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int context_base_folder(char **ret, const char *variable, const char *fallback, const char *name,
			struct annex_error **err)
{
	const char *set = getenv(variable), *home = getenv("HOME");
	int length;

	if (set && *set == '/')
		length = asprintf(ret, "%s/%s", set, name);
	else if (home && *home == '/')
		length = asprintf(ret, "%s/%s/%s", home, fallback, name);
	else
		return fail(err, ANNEX_ERROR_USAGE, "neither HOME nor %s is set", variable);
	return length < 0 ? fail_memory(err) : 0;
}

/* Sockets have short names, but the folder may be long: sun_path holds 108 bytes. */
static int runtime_folder(char **ret, struct annex_error **err)
{
	enum { LONGEST = 107 - (int)sizeof("/0123456789ab.sock") };
	const char *set = getenv("XDG_RUNTIME_DIR");
	int length;

	if (set && *set == '/' && strlen(set) + strlen("/annex") <= LONGEST && access(set, W_OK | X_OK) == 0)
		length = asprintf(ret, "%s/annex", set);
	else
		length = asprintf(ret, "/tmp/annex-%u", (unsigned)getuid());
	return length < 0 ? fail_memory(err) : 0;
}

/* Helpers lie beside the library in a build tree, else where they are installed: first by the way from the library, so
 * that an installed tree may be anywhere. */
static char *helper_folder(void)
{
	const char *set = getenv("ANNEX_LIBEXECDIR");
	static const char *const places[] = {".", ANNEX_LIBEXEC_FROM_LIB};
	static const char here; /* lies in this library */
	auto_free char *folder = NULL;
	Dl_info info;

	if (set && *set)
		return strdup(set);
	if (dladdr(&here, &info) && info.dli_fname && strchr(info.dli_fname, '/')) {
		folder = realpath(info.dli_fname, NULL);
		if (folder)
			*strrchr(folder, '/') = '\0';
	}
	for (size_t i = 0; folder && i < COUNT_OF(places); i++) {
		auto_free char *place = path_join(folder, places[i]), *real = place ? realpath(place, NULL) : NULL;
		auto_free char *helper = real ? path_join(real, "annex-supervisor") : NULL;

		if (helper && access(helper, X_OK) == 0)
			return TAKE(real);
	}
	return strdup(ANNEX_LIBEXECDIR);
}

static int choose(char **ret, const char *given, const char *variable, const char *fallback, struct annex_error **err)
{
	if (!given)
		return variable ? context_base_folder(ret, variable, fallback, "annex", err) : runtime_folder(ret, err);
	if (*given != '/')
		return fail(err, ANNEX_ERROR_USAGE, "folder %s is not an absolute path", given);
	*ret = strdup(given);
	return *ret ? 0 : fail_memory(err);
}

API int annex_context_new(struct annex_context **ret, const struct annex_context_options *options,
			  struct annex_error **err)
{
	struct annex_context_options chosen = ANNEX_CONTEXT_OPTIONS_INIT;
	struct annex_context *context = calloc(1, sizeof(*context));

	if (!context)
		return fail_memory(err);
	context->references = 1;
	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	context->helpers = helper_folder();
	if (!context->helpers)
		fail_memory(err);
	if (!context->helpers || choose(&context->data, chosen.data_folder, "XDG_DATA_HOME", ".local/share", err) < 0 ||
	    choose(&context->config, chosen.config_folder, "XDG_CONFIG_HOME", ".config", err) < 0 ||
	    choose(&context->runtime, chosen.runtime_folder, NULL, NULL, err) < 0) {
		annex_context_unref(context);
		return -1;
	}
	*ret = context;
	return 0;
}

API struct annex_context *annex_context_ref(struct annex_context *context)
{
	context->references++;
	return context;
}

API void annex_context_unref(struct annex_context *context)
{
	if (!context || --context->references > 0)
		return;
	free(context->data);
	free(context->config);
	free(context->runtime);
	free(context->helpers);
	free(context);
}

API void annex_context_set_progress(struct annex_context *context, annex_progress_fn *fn, void *data)
{
	context->progress = fn;
	context->progress_data = data;
}

API void annex_context_cancel(struct annex_context *context)
{
	context->cancelled = 1;
}

API void annex_context_uncancel(struct annex_context *context)
{
	context->cancelled = 0;
}

API const char *annex_context_data_folder(const struct annex_context *context)
{
	return context->data;
}

API const char *annex_context_config_folder(const struct annex_context *context)
{
	return context->config;
}

API const char *annex_context_runtime_folder(const struct annex_context *context)
{
	return context->runtime;
}

API const char *annex_version(void)
{
	return ANNEX_VERSION;
}

int context_folder(char **ret, const struct annex_context *context, const char *name, struct annex_error **err)
{
	auto_free char *folder = path_join(context->data, name);
	int result;

	if (!folder)
		return fail_memory(err);
	result = file_make_folders(folder, 0700);
	if (result < 0)
		return fail_os(err, result, "cannot make folder %s", folder);
	*ret = TAKE(folder);
	return 0;
}

int context_helper(char **ret, const struct annex_context *context, const char *name, struct annex_error **err)
{
	auto_free char *path = path_join(context->helpers, name);

	if (!path)
		return fail_memory(err);
	if (access(path, R_OK) < 0) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "helper program %s is missing", path);
		return fail_hint(err, "install annex again, or set ANNEX_LIBEXECDIR to the folder that holds it");
	}
	*ret = TAKE(path);
	return 0;
}

void context_report(struct annex_context *context, const char *step, const char *text, uint64_t done, uint64_t total,
		    bool finished)
{
	struct annex_progress progress = {
		.step = step, .text = text, .done = done, .total = total, .finished = finished};

	if (context->progress)
		context->progress(&progress, context->progress_data);
}

void context_report_item(struct annex_context *context, const char *step, const struct context_item *item,
			 const char *text, uint64_t done, uint64_t total, bool finished)
{
	struct annex_progress progress = {.step = step,
					  .text = text,
					  .done = done,
					  .total = total,
					  .finished = finished,
					  .item = item->name,
					  .index = item->index,
					  .count = item->count};

	if (context->progress)
		context->progress(&progress, context->progress_data);
}

bool context_is_cancelled(const struct annex_context *context)
{
	return context->cancelled;
}

int context_stops(void *context)
{
	return context_is_cancelled(context);
}

void context_blame_cancel(const struct annex_context *context, struct annex_error **err)
{
	if (!err || !context_is_cancelled(context) || annex_error_kind(*err) == ANNEX_ERROR_CANCELLED)
		return;
	annex_error_free(TAKE(*err));
	fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
}

int context_check_cancelled(const struct annex_context *context, struct annex_error **err)
{
	return context->cancelled ? fail(err, ANNEX_ERROR_CANCELLED, "cancelled") : 0;
}
