#ifndef ANNEX_PROGRESS_H
#define ANNEX_PROGRESS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One step of a long operation. A step is reported when it starts (done 0), while it goes on, and when it ends
 * (finished non-zero). The texts live only during the call. */
struct annex_progress {
	const char *step; /* stable, for programs: "import", "disk", "boot", "wait", "kernel", "stop" */
	const char *text; /* for people: "unpacking layer 2 of 5" */
	uint64_t done;    /* bytes, or 0 */
	uint64_t total;   /* bytes, or 0 when unknown */
	int finished;
};

/* Called from inside the library's blocking functions, in the caller's thread; must not call the library. */
typedef void annex_progress_fn(const struct annex_progress *progress, void *data);

#ifdef __cplusplus
}
#endif

#endif
