#ifndef ANNEX_PROGRESS_H
#define ANNEX_PROGRESS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One step of a long operation. A step is reported when it starts (done 0), while it goes on, and when it ends
 * (finished non-zero). The texts live only during the call.
 *
 * Some steps have items that go on beside each other: the layers of an image. Each item is reported for itself, from
 * when work on it starts until it is finished, and then, with item NULL, the step as a whole, whose done and total are
 * the sums.
 */
struct annex_progress {
	const char *step; /* stable, for programs: "import", "pull", "disk", "boot", "wait", "kernel", "stop" */
	const char *text; /* for people: "making the disk"; of an item: what is done to it, "downloading" */
	uint64_t done;    /* bytes, or 0 */
	uint64_t total;   /* bytes, or 0 when unknown */
	int finished;
	const char *item; /* NULL: the step as a whole; else the part of it that this is about: a layer's "sha256:…" */
	unsigned index;   /* of the item, from 0 */
	unsigned count;   /* of the step's items; 0: it has none */
};

/* Called from inside the library's blocking functions, in the caller's thread; must not call the library. */
typedef void annex_progress_fn(const struct annex_progress *progress, void *data);

/* The same as a JSON object on one line, without a newline, with the members step, text, done, total, finished, item
 * (null for the whole), index and count. May be called from an annex_progress_fn. The caller frees it; NULL: out of
 * memory. */
char *annex_progress_json(const struct annex_progress *progress);

#ifdef __cplusplus
}
#endif

#endif
