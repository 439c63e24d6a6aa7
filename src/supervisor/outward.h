#pragma once
#include "loop/loop.h"

#include <sys/types.h>

/*
 * What carries what a machine sends outside: passt, or libslirp inside annex-network, by the setting: "passt" and
 * "slirp" are that, "none" is neither, and "auto" is passt while a good one can run.
 */
#define OUTWARD_CALM_MS    60000u /* a passt that died longer ago than this is forgotten */
#define OUTWARD_DEATHS_MAX 3u     /* of it, each in less than that after the one before, until auto takes slirp */
#define OUTWARD_AGAIN_MS   1000u  /* before the second new passt in a row; doubled each time */
#define OUTWARD_AGAIN_MOST 60000u

struct outward;

struct outward_callbacks {
	/* There is a new passt, and our end of its connection, which stays the outward's; -1: slirp is to take over. */
	void (*on_changed)(int fd, void *data);
	/* It has to be passt, and that can't run. */
	void (*on_broken)(const struct annex_error *why, void *data);
};

MUST_USE int outward_new(struct outward **ret, struct loop *loop, const char *wanted, uint32_t place,
			 const struct outward_callbacks *callbacks, void *data, struct annex_error **err);
void outward_free(struct outward *outward); /* NULL is allowed */

/* For an annex-network that is about to start: *ret_fd is the caller's, -1 where there is no passt. NOT_FOUND, SYSTEM:
 * it has to be passt. */
MUST_USE int outward_open(struct outward *outward, int *ret_fd, struct annex_error **err);
/* It has ended, and its passt with it. */
void outward_close(struct outward *outward);
const char *outward_name(const struct outward *outward); /* "passt", "slirp", "none" */
pid_t outward_pid(const struct outward *outward);        /* of passt, or 0 */
