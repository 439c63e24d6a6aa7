#pragma once
#include "annex/error.h"

#include "base/cleanup.h"

#define API                           __attribute__((visibility("default"))) /* exported by libannex */
#define MUST_USE                      __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first) __attribute__((format(printf, format_at, first)))

/* Record a failure and return -1, so that a caller can write `return fail(err, …)`. `err` may be NULL. */
int fail(struct annex_error **err, enum annex_error_kind kind, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same for a failed system call; appends strerror(os). `os` may have either sign. */
int fail_os(struct annex_error **err, int os, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same for memory that ran out. */
int fail_memory(struct annex_error **err);

/* Prefix the message of an error that is passing through; returns -1. */
int fail_while(struct annex_error **err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Add the hint, unless the error has one already; returns -1. */
int fail_hint(struct annex_error **err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Make *err a copy of an error that arrived over a wire; returns -1. */
int fail_relayed(struct annex_error **err, unsigned kind, int os, const char *message, const char *hint);

static inline void cleanup_error(struct annex_error **err)
{
	annex_error_free(*err);
}

#define auto_error CLEANUP(cleanup_error)
