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

/* All of these return -1, always: said in a way that readers of one file at a time, such as analyzers, can see too. */
static inline int error_made(int result)
{
	(void)result;
	return -1;
}
#define fail(...)         error_made(fail(__VA_ARGS__))
#define fail_os(...)      error_made(fail_os(__VA_ARGS__))
#define fail_memory(err)  error_made(fail_memory(err))
#define fail_while(...)   error_made(fail_while(__VA_ARGS__))
#define fail_hint(...)    error_made(fail_hint(__VA_ARGS__))
#define fail_relayed(...) error_made(fail_relayed(__VA_ARGS__))

static inline void cleanup_error(struct annex_error **err)
{
	annex_error_free(*err);
}

#define auto_error CLEANUP(cleanup_error)
