#pragma once
#include "annex/context.h"

#include "base/error.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct annex_context {
	unsigned references;
	char *data; /* absolute folders; made by context_folder() */
	char *config;
	char *runtime;
	char *helpers; /* where annex-supervisor and annex-guest are */
	annex_progress_fn *progress;
	void *progress_data;
	volatile sig_atomic_t cancelled;
};

/* $VARIABLE/name if it is set to an absolute path, else $HOME/fallback/name. The caller frees *ret. */
MUST_USE int context_base_folder(char **ret, const char *variable, const char *fallback, const char *name,
				 struct annex_error **err);

/* "DATA/name", the folder made (0700) with its parents. The caller frees *ret. */
MUST_USE int context_folder(char **ret, const struct annex_context *context, const char *name,
			    struct annex_error **err);

/* The absolute path of a helper program ("annex-supervisor", "annex-guest"); NOT_FOUND when it is not there. The caller
 * frees *ret. */
MUST_USE int context_helper(char **ret, const struct annex_context *context, const char *name,
			    struct annex_error **err);

/* Report a step; `text` lives only during the call. */
void context_report(struct annex_context *context, const char *step, const char *text, uint64_t done, uint64_t total,
		    bool finished);

/* One of the parts of a step that go on side by side. */
struct context_item {
	const char *name;
	unsigned index, count;
};
void context_report_item(struct annex_context *context, const char *step, const struct context_item *item,
			 const char *text, uint64_t done, uint64_t total, bool finished);

bool context_is_cancelled(const struct annex_context *context);
/* The same for callbacks whose data is the context. */
int context_stops(void *context);
/* The signal that cancels also ends reads and writes, and what fails then says little: *err becomes CANCELLED. */
void context_blame_cancel(const struct annex_context *context, struct annex_error **err);
/* Fails with CANCELLED when it is; else 0. */
MUST_USE int context_check_cancelled(const struct annex_context *context, struct annex_error **err);
