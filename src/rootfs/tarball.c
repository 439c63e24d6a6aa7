/*
 * A ring of pieces between two threads. The worker fills pieces: it reads the blob, hashes it, decompresses it into the
 * piece and hashes that. The reader takes them in order and holds one at a time, which is not refilled before the next
 * tarball_read(). The mutex guards the counters, the end and the error; a piece belongs to one side at a time.
 *
 * The worker may wait for a pipe that nobody writes to: it polls the blob together with an eventfd that tarball_free()
 * raises. All signals are blocked in it, so that the program's handlers run where the program expects them.
 */
#include "rootfs/tarball.h"

#include "base/digest.h"
#include "rootfs/inflate.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

enum { PIECES = 6, PIECE_SIZE = 512 << 10, INPUT_SIZE = 256 << 10 };

struct piece {
	size_t size;
	unsigned char *bytes;
};

struct tarball {
	struct rootfs_layer layer;
	const struct inflate_kind *kind;
	struct inflate *inflate;
	struct digest *blob_digest, *plain_digest;
	unsigned char *input;
	struct piece pieces[PIECES];
	_Atomic uint64_t done;
	uint64_t plain; /* bytes made so far */
	int stop;       /* eventfd */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t mutex;
	pthread_cond_t changed;
	uint64_t filled, taken; /* pieces, ever counting */
	bool holding;           /* the reader has pieces[taken] */
	bool ended, stopping;
	struct annex_error *error;
};

/* The next piece to fill, or NULL when the stream is being closed. */
static struct piece *wait_for_room(struct tarball *tarball)
{
	struct piece *piece = NULL;

	pthread_mutex_lock(&tarball->mutex);
	while (tarball->filled - tarball->taken == PIECES && !tarball->stopping)
		pthread_cond_wait(&tarball->changed, &tarball->mutex);
	if (!tarball->stopping)
		piece = &tarball->pieces[tarball->filled % PIECES];
	pthread_mutex_unlock(&tarball->mutex);
	return piece;
}

static void hand_over(struct tarball *tarball)
{
	pthread_mutex_lock(&tarball->mutex);
	tarball->filled++;
	pthread_cond_broadcast(&tarball->changed);
	pthread_mutex_unlock(&tarball->mutex);
}

/* 0 at the end; -ECANCELED when the stream is being closed. */
static ssize_t read_blob(struct tarball *tarball, void *bytes, size_t size)
{
	struct pollfd fds[2] = {{.fd = tarball->layer.fd, .events = POLLIN}, {.fd = tarball->stop, .events = POLLIN}};
	ssize_t n;

	do {
		if (poll(fds, 2, -1) < 0)
			n = -1;
		else if (fds[1].revents)
			return -ECANCELED;
		else
			n = read(tarball->layer.fd, bytes, size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n < 0 ? -errno : n;
}

/* Count and hash a piece, then let the reader have it. */
static int finish_piece(struct tarball *tarball, struct piece **piece, struct annex_error **err)
{
	digest_add(tarball->plain_digest, (*piece)->bytes, (*piece)->size);
	tarball->plain += (*piece)->size;
	*piece = NULL;
	hand_over(tarball);
	if (tarball->plain > ROOTFS_STREAM)
		return fail(err, ANNEX_ERROR_CORRUPT, "more than %u GiB after decompression",
			    (unsigned)(ROOTFS_STREAM >> 30));
	return 0;
}

/* Decompress what was read; pieces are handed over when they are full. The decompressor may hold back output when a
 * piece is full, so it is asked again then. */
static int spread(struct tarball *tarball, struct piece **piece, size_t size, struct annex_error **err)
{
	struct inflate_buffers buffers = {.in = tarball->input, .in_size = size};
	size_t in_before, out_before;

	do {
		if (!*piece && !(*piece = wait_for_room(tarball)))
			return -1;
		buffers.out = (*piece)->bytes + (*piece)->size;
		buffers.out_size = PIECE_SIZE - (*piece)->size;
		in_before = buffers.in_size;
		out_before = buffers.out_size;
		if (!tarball->kind->run(tarball->inflate, &buffers))
			return fail(err, ANNEX_ERROR_CORRUPT, "damaged %s data", tarball->kind->name);
		if (in_before && in_before == buffers.in_size && out_before == buffers.out_size)
			return fail(err, ANNEX_ERROR_CORRUPT, "damaged %s data", tarball->kind->name);
		(*piece)->size = PIECE_SIZE - buffers.out_size;
		if (buffers.out_size == 0 && finish_piece(tarball, piece, err) < 0)
			return -1;
	} while (buffers.in_size > 0 || buffers.out_size == 0);
	return 0;
}

static int work_on(struct tarball *tarball, struct annex_error **err)
{
	struct piece *piece = NULL;
	uint64_t done = 0;
	ssize_t n;

	while ((n = read_blob(tarball, tarball->input, INPUT_SIZE)) > 0) {
		done += (uint64_t)n;
		if (done > tarball->layer.size)
			return fail(err, ANNEX_ERROR_CORRUPT, "longer than the %llu bytes it should have",
				    (unsigned long long)tarball->layer.size);
		digest_add(tarball->blob_digest, tarball->input, (size_t)n);
		if (spread(tarball, &piece, (size_t)n, err) < 0)
			return -1;
		atomic_store(&tarball->done, done);
	}
	if (n == -ECANCELED)
		return -1;
	if (n < 0)
		return fail_os(err, (int)n, "cannot read it");
	if (done < tarball->layer.size)
		return fail(err, ANNEX_ERROR_CORRUPT, "truncated: %llu of %llu bytes", (unsigned long long)done,
			    (unsigned long long)tarball->layer.size);
	if (!tarball->kind->is_complete(tarball->inflate))
		return fail(err, ANNEX_ERROR_CORRUPT, "truncated %s data", tarball->kind->name);
	return piece && piece->size ? finish_piece(tarball, &piece, err) : 0;
}

static void *work(void *data)
{
	struct tarball *tarball = data;
	struct annex_error *error = NULL;

	work_on(tarball, &error);
	pthread_mutex_lock(&tarball->mutex);
	tarball->ended = true;
	tarball->error = error;
	pthread_cond_broadcast(&tarball->changed);
	pthread_mutex_unlock(&tarball->mutex);
	return NULL;
}

static int start(struct tarball *tarball, struct annex_error **err)
{
	sigset_t all, before;
	int result;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&tarball->thread, NULL, work, tarball);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return fail_os(err, result, "cannot start a thread");
	tarball->has_thread = true;
	return 0;
}

static void init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

int tarball_open(struct tarball **ret, const struct rootfs_layer *layer, struct annex_error **err)
{
	static const struct inflate_kind *const kinds[] = {
		[ROOTFS_PLAIN] = &inflate_plain, [ROOTFS_GZIP] = &inflate_gzip, [ROOTFS_ZSTD] = &inflate_zstd};
	auto_tarball struct tarball *tarball = calloc(1, sizeof(*tarball));
	bool complete;

	if (!tarball)
		return fail_memory(err);
	pthread_mutex_init(&tarball->mutex, NULL);
	init_condition(&tarball->changed);
	tarball->layer = *layer;
	tarball->kind = kinds[layer->compression];
	tarball->stop = eventfd(0, EFD_CLOEXEC);
	if (tarball->stop < 0)
		return fail_os(err, errno, "cannot start a thread");
	tarball->inflate = tarball->kind->make();
	tarball->input = malloc(INPUT_SIZE);
	complete = tarball->inflate && tarball->input && digest_new(&tarball->blob_digest) == 0 &&
		   digest_new(&tarball->plain_digest) == 0;
	for (int i = 0; i < PIECES; i++) {
		tarball->pieces[i].bytes = malloc(PIECE_SIZE);
		complete = complete && tarball->pieces[i].bytes;
	}
	if (!complete)
		return fail_memory(err);
	if (start(tarball, err) < 0)
		return -1;
	*ret = TAKE(tarball);
	return 0;
}

/* The reader is through with the piece it has. */
static void let_go(struct tarball *tarball)
{
	if (!tarball->holding)
		return;
	tarball->pieces[tarball->taken++ % PIECES].size = 0;
	tarball->holding = false;
	pthread_cond_broadcast(&tarball->changed);
}

bool tarball_wait(struct tarball *tarball, unsigned timeout_ms)
{
	struct timespec until;
	int result = 0;
	bool ready;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)timeout_ms % 1000 * 1000000;
	until.tv_sec += (time_t)timeout_ms / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&tarball->mutex);
	let_go(tarball);
	while (tarball->filled == tarball->taken && !tarball->ended && result != ETIMEDOUT)
		result = pthread_cond_timedwait(&tarball->changed, &tarball->mutex, &until);
	ready = tarball->filled > tarball->taken || tarball->ended;
	pthread_mutex_unlock(&tarball->mutex);
	return ready;
}

int tarball_read(struct tarball *tarball, const void **ret, size_t *ret_size, struct annex_error **err)
{
	const struct piece *piece = NULL;
	struct annex_error *error = NULL;
	bool failed = false;

	pthread_mutex_lock(&tarball->mutex);
	let_go(tarball);
	while (tarball->filled == tarball->taken && !tarball->ended)
		pthread_cond_wait(&tarball->changed, &tarball->mutex);
	if (tarball->filled > tarball->taken) {
		piece = &tarball->pieces[tarball->taken % PIECES];
		tarball->holding = true;
	} else {
		error = TAKE(tarball->error);
		failed = error != NULL;
	}
	pthread_mutex_unlock(&tarball->mutex);
	if (error && err)
		*err = TAKE(error);
	if (failed) {
		annex_error_free(error);
		return -1;
	}
	*ret = piece ? piece->bytes : NULL;
	*ret_size = piece ? piece->size : 0;
	return 0;
}

int tarball_finish(struct tarball *tarball, struct annex_error **err)
{
	char digest[DIGEST_TEXT];
	const void *bytes;
	size_t size;

	do {
		if (tarball_read(tarball, &bytes, &size, err) < 0)
			return -1;
	} while (size > 0);
	digest_finish(tarball->blob_digest, digest);
	if (strcmp(digest, tarball->layer.digest) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "wrong digest: its content has %s", digest);
	digest_finish(tarball->plain_digest, digest);
	if (strcmp(digest, tarball->layer.diff_id) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "wrong diff id: its plain content has %s, the image says %s",
			    digest, tarball->layer.diff_id);
	return 0;
}

uint64_t tarball_done(const struct tarball *tarball)
{
	return atomic_load(&tarball->done);
}

void tarball_free(struct tarball *tarball)
{
	uint64_t one = 1;

	if (!tarball)
		return;
	if (tarball->has_thread) {
		pthread_mutex_lock(&tarball->mutex);
		tarball->stopping = true;
		pthread_cond_broadcast(&tarball->changed);
		pthread_mutex_unlock(&tarball->mutex);
		while (write(tarball->stop, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(tarball->thread, NULL);
	}
	cleanup_close(&tarball->stop);
	if (tarball->inflate)
		tarball->kind->free(tarball->inflate);
	digest_free(tarball->blob_digest);
	digest_free(tarball->plain_digest);
	for (int i = 0; i < PIECES; i++)
		free(tarball->pieces[i].bytes);
	free(tarball->input);
	annex_error_free(tarball->error);
	pthread_cond_destroy(&tarball->changed);
	pthread_mutex_destroy(&tarball->mutex);
	free(tarball);
}
