/*
 * Each layer is a job: it is decoded or copied by a thread of its own, into blocks of the disk and its index; one that
 * is kept is in from the start. The thread that builds starts jobs lowest first, a few at once, tells the caller how
 * far they are, and merges each layer into the tree as soon as it and all below it are in.
 *
 * The first job that fails stops the others; what they say then is not interesting. Jobs that ended well are reported
 * nevertheless: a later build can use them.
 */
#include "rootfs/build.h"

#include "rootfs/blocks.h"
#include "rootfs/copy.h"
#include "rootfs/index.h"
#include "rootfs/keep.h"
#include "rootfs/layer.h"
#include "rootfs/merge.h"
#include "rootfs/stop.h"
#include "rootfs/tree.h"

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

enum {
	REPORT_MS = 200,
	COPIES = 2 /* at once: one may read while the other writes; they wait for the disk, not for a processor */
};

enum job_state { JOB_WAITS, JOB_RUNS, JOB_ENDED, JOB_IN };

struct build;
struct job {
	struct build *build;
	const struct rootfs_layer *layer;
	_Atomic uint64_t done;
	pthread_t thread;
	enum job_state state; /* by the build's mutex */
	int result;
	struct annex_error *error;
};

struct build {
	int disk;
	size_t count, merged;
	const struct rootfs_layer *layers;
	const struct rootfs_events *events;
	struct job *jobs;
	uint64_t *done; /* for the caller */
	struct blocks *blocks;
	struct tree *tree;
	struct stop stop;
	size_t running[ROOTFS_KEEP + 1]; /* by source */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
};

static void *work(void *data)
{
	struct job *job = data;
	struct build *build = job->build;

	if (job->layer->source == ROOTFS_COPY)
		job->result = copy_layer(job->layer, build->blocks, &build->stop, &job->error);
	else
		job->result = layer_decode(job->layer, build->blocks, &build->stop, &job->done, &job->error);
	pthread_mutex_lock(&build->mutex);
	job->state = JOB_ENDED;
	pthread_cond_signal(&build->changed);
	pthread_mutex_unlock(&build->mutex);
	return NULL;
}

static int start(struct build *build, struct job *job, struct annex_error **err)
{
	sigset_t all, before;
	int result;

	job->state = JOB_RUNS;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&job->thread, NULL, work, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0) {
		job->state = JOB_WAITS;
		return fail_os(err, result, "cannot start a thread");
	}
	build->running[job->layer->source]++;
	return 0;
}

/* Start what may run now, lowest first. Copies do not wait for decoders, nor these for them. */
static int start_some(struct build *build, struct annex_error **err)
{
	static const size_t most[] = {[ROOTFS_DECODE] = ROOTFS_PARALLEL, [ROOTFS_COPY] = COPIES, [ROOTFS_KEEP] = 0};

	for (size_t i = build->merged; i < build->count; i++) {
		struct job *job = &build->jobs[i];
		enum rootfs_source source = job->layer->source;

		if (job->state == JOB_WAITS && build->running[source] < most[source] && start(build, job, err) < 0)
			return -1;
	}
	return 0;
}

static int report(void *data)
{
	struct build *build = data;

	if (!build->events->progress)
		return 0;
	for (size_t i = 0; i < build->count; i++)
		build->done[i] = atomic_load_explicit(&build->jobs[i].done, memory_order_relaxed);
	return build->events->progress(build->done, build->count, build->events->data);
}

static int fail_in_layer(const struct build *build, size_t i, struct annex_error **err)
{
	return fail_while(err, "layer %zu of %zu (%.19s)", i + 1, build->count, build->layers[i].digest);
}

static enum job_state state_of(struct build *build, const struct job *job)
{
	enum job_state state;

	pthread_mutex_lock(&build->mutex);
	state = job->state;
	pthread_mutex_unlock(&build->mutex);
	return state;
}

/* Take in the jobs that have ended; the first one that failed by itself is the error. */
static int reap(struct build *build, struct annex_error **err)
{
	int result = 0;

	for (size_t i = 0; i < build->count; i++) {
		struct job *job = &build->jobs[i];

		if (state_of(build, job) != JOB_ENDED)
			continue;
		pthread_join(job->thread, NULL);
		build->running[job->layer->source]--;
		job->state = JOB_IN;
		if (job->result < 0 && result == 0) {
			if (err)
				*err = TAKE(job->error);
			result = fail_in_layer(build, i, err);
		}
		if (job->result < 0)
			continue;
		atomic_store(&job->done, job->layer->size);
		if (build->events->layer_done)
			build->events->layer_done(i, build->events->data);
	}
	return result;
}

static uint64_t disk_blocks(int disk)
{
	struct stat st;

	return fstat(disk, &st) < 0 ? 0 : (uint64_t)st.st_size / BLOCKS_SIZE;
}

static int merge_some(struct build *build, struct annex_error **err)
{
	const struct merge_check check = {report, build};

	for (; build->merged < build->count && state_of(build, &build->jobs[build->merged]) == JOB_IN;
	     build->merged++) {
		auto_index_reader struct index_reader *reader = NULL;
		const struct rootfs_layer *layer = &build->layers[build->merged];

		if (index_reader_new(&reader, layer->index, layer->diff_id, disk_blocks(build->disk), err) < 0 ||
		    merge_layer(build->tree, reader, &check, err) < 0)
			return fail_in_layer(build, build->merged, err);
	}
	return 0;
}

/* Until a job has ended, or it is time to report. */
static void wait_for_jobs(struct build *build)
{
	struct timespec until;
	bool ended = false;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += REPORT_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&build->mutex);
	for (int result = 0; result == 0 && !ended;) {
		for (size_t i = 0; i < build->count && !ended; i++)
			ended = build->jobs[i].state == JOB_ENDED;
		if (!ended)
			result = pthread_cond_timedwait(&build->changed, &build->mutex, &until);
	}
	pthread_mutex_unlock(&build->mutex);
}

static int run(struct build *build, struct annex_error **err)
{
	for (;;) {
		if (reap(build, err) < 0 || start_some(build, err) < 0)
			return -1;
		if (report(build) != 0)
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
		if (merge_some(build, err) < 0)
			return -1;
		if (build->merged == build->count)
			return 0;
		wait_for_jobs(build);
	}
}

static void end_jobs(struct build *build)
{
	bool runs;

	stop_raise(&build->stop);
	do {
		runs = false;
		for (size_t i = 0; i < build->count; i++)
			runs |= state_of(build, &build->jobs[i]) == JOB_RUNS;
		if (runs)
			wait_for_jobs(build);
		reap(build, NULL);
	} while (runs);
}

static void init_locks(struct build *build)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&build->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&build->changed, &attributes);
	pthread_condattr_destroy(&attributes);
}

static int init(struct build *build, struct annex_error **err)
{
	int result;

	build->jobs = calloc(build->count + 1, sizeof(*build->jobs));
	build->done = calloc(build->count + 1, sizeof(*build->done));
	if (!build->jobs || !build->done)
		return fail_memory(err);
	for (size_t i = 0; i < build->count; i++) {
		bool kept = build->layers[i].source == ROOTFS_KEEP;

		build->jobs[i] =
			(struct job){.build = build, .layer = &build->layers[i], .state = kept ? JOB_IN : JOB_WAITS};
		atomic_init(&build->jobs[i].done, kept ? build->layers[i].size : 0);
	}
	result = stop_init(&build->stop);
	if (result < 0)
		return fail_os(err, result, "cannot start a thread");
	if (keep_layers(&build->blocks, build->disk, build->layers, build->count, err) < 0)
		return -1;
	return tree_new(&build->tree, err);
}

static void clear(struct build *build)
{
	for (size_t i = 0; build->jobs && i < build->count; i++)
		annex_error_free(build->jobs[i].error);
	free(build->jobs);
	free(build->done);
	stop_clear(&build->stop);
	tree_free(build->tree);
	blocks_free(build->blocks);
	pthread_cond_destroy(&build->changed);
	pthread_mutex_destroy(&build->mutex);
}

int build_layers(struct tree **ret_tree, struct blocks **ret_blocks, int disk, const struct rootfs_layer *layers,
		 size_t count, const struct rootfs_events *events, struct annex_error **err)
{
	struct build build = {.disk = disk, .layers = layers, .count = count, .events = events, .stop.fd = -EBADF};
	int result;

	init_locks(&build);
	result = init(&build, err);
	if (result == 0) {
		result = run(&build, err);
		if (result < 0)
			end_jobs(&build);
	}
	if (result == 0) {
		*ret_tree = TAKE(build.tree);
		*ret_blocks = TAKE(build.blocks);
	}
	clear(&build);
	return result;
}
