#ifndef ANNEX_STATS_H
#define ANNEX_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <annex/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What machines use, again and again. Machines are asked only by this; an idle machine that nobody watches measures
 * nothing. Counters are since the machine's start.
 */
struct annex_stats;

/* Numbers are -1 where they can't be told: the machine does not run, its guest is not up or does not answer. */
struct annex_machine_stats {
	const char *name;
	enum annex_machine_state state;
	const char *problem; /* why a machine that runs could not be asked, or NULL */
	int64_t time;        /* nanoseconds since 1970: when it was asked */
	int64_t started;     /* seconds since 1970 */
	int64_t cpus;
	double cpu;       /* processors of the host in use since the sample before: 1.0 is one of them, all the time */
	int64_t cpu_time; /* nanoseconds of the host's processors */
	int64_t memory;   /* bytes it was given */
	int64_t memory_total;     /* bytes that its kernel has */
	int64_t memory_used;      /* of those: what is not available to programs */
	int64_t memory_host;      /* bytes of the host's memory that its processes hold */
	int64_t disk_size;        /* bytes, of the root file system as the machine sees it */
	int64_t disk_used;        /* of those */
	int64_t disk_host;        /* bytes that its disk takes on the host, without the image's */
	int64_t disk_read;        /* bytes, from its disk */
	int64_t disk_written;     /* bytes */
	int64_t network_received; /* bytes, by its network interfaces */
	int64_t network_sent;     /* bytes */
	int64_t tasks;            /* processes and their threads */
	double load;              /* average of the last minute */
	int64_t sessions;         /* open ones */
};

/* Watch machines: those named (NULL-terminated; NOT_FOUND), or, with names NULL, whatever machines there are at each
 * sample. all: also those that don't run, as named ones always are. *ret is the caller's. */
int annex_stats_new(struct annex_stats **ret, struct annex_context *context, const char *const *names, int all,
		    struct annex_error **err);
void annex_stats_free(struct annex_stats *stats);

/*
 * Take a sample of all of them at once, by name, interval_ms after the last one was taken (0: now). Blocks until then,
 * and until all have answered, a few seconds at most; fails with CANCELLED when the context is cancelled. The first
 * sample of a machine has no `cpu`. The list and its texts belong to `stats`, until the next call.
 */
int annex_stats_next(const struct annex_machine_stats **ret, size_t *ret_count, struct annex_stats *stats,
		     unsigned interval_ms, struct annex_error **err);

#ifdef __cplusplus
}
#endif

#endif
