#ifndef ANNEX_CONTEXT_H
#define ANNEX_CONTEXT_H

#include <stddef.h>

#include <annex/error.h>
#include <annex/progress.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Where annex keeps its things, and how it reports. Not thread-safe: one context per thread. Every object made from a
 * context holds a reference to it.
 */
struct annex_context;

/* Start from ANNEX_CONTEXT_OPTIONS_INIT. NULL folders: the XDG base directories ($XDG_DATA_HOME/annex,
 * $XDG_CONFIG_HOME/annex, $XDG_RUNTIME_DIR/annex or a private folder under /tmp). */
struct annex_context_options {
	size_t size;
	const char *data_folder;
	const char *config_folder;
	const char *runtime_folder;
};
#define ANNEX_CONTEXT_OPTIONS_INIT                                     \
	{                                                              \
		sizeof(struct annex_context_options), NULL, NULL, NULL \
	}

/* options may be NULL. The folders are made when they are first needed. Does not block. */
int annex_context_new(struct annex_context **ret, const struct annex_context_options *options,
		      struct annex_error **err);
struct annex_context *annex_context_ref(struct annex_context *context);
void annex_context_unref(struct annex_context *context);

void annex_context_set_progress(struct annex_context *context, annex_progress_fn *fn, void *data);

/* Make the blocking call that is under way, or the next one, fail with ANNEX_ERROR_CANCELLED after cleaning up.
 * Async-signal-safe. annex_context_uncancel() makes the context usable again. */
void annex_context_cancel(struct annex_context *context);
void annex_context_uncancel(struct annex_context *context);

/* Owned by the context. */
const char *annex_context_data_folder(const struct annex_context *context);
const char *annex_context_config_folder(const struct annex_context *context);
const char *annex_context_runtime_folder(const struct annex_context *context);

/* "0.1.0" */
const char *annex_version(void);

#ifdef __cplusplus
}
#endif

#endif
