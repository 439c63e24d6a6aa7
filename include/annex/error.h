#ifndef ANNEX_ERROR_H
#define ANNEX_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What went wrong. Functions that can fail return -1 and store an error in *err; the caller frees it with
 * annex_error_free(). Test the kind, never the text.
 */
struct annex_error;

enum annex_error_kind {
	ANNEX_ERROR_SYSTEM = 1, /* a system call failed; see annex_error_errno() */
	ANNEX_ERROR_USAGE,      /* the caller passed something malformed */
	ANNEX_ERROR_NOT_FOUND,
	ANNEX_ERROR_EXISTS,
	ANNEX_ERROR_BUSY,
	ANNEX_ERROR_AUTH,
	ANNEX_ERROR_NETWORK,
	ANNEX_ERROR_CORRUPT, /* digest or format mismatch */
	ANNEX_ERROR_UNSUPPORTED,
	ANNEX_ERROR_TIMEOUT,
	ANNEX_ERROR_CANCELLED,
	ANNEX_ERROR_GUEST, /* the machine's own software failed */
	ANNEX_ERROR_NO_MEMORY
};

enum annex_error_kind annex_error_kind(const struct annex_error *err);
/* The errno of a failed system call, else 0. */
int annex_error_errno(const struct annex_error *err);
/* One line without a newline, owned by the error. */
const char *annex_error_message(const struct annex_error *err);
/* The command or step that helps, or NULL; owned by the error. */
const char *annex_error_hint(const struct annex_error *err);
/* NULL is allowed. */
void annex_error_free(struct annex_error *err);

#ifdef __cplusplus
}
#endif

#endif
