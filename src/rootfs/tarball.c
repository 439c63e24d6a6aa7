/*
 * A ring of pieces between two threads. The worker fills pieces: it reads the blob, hashes it, and decompresses it into
 * the piece. The reader takes them in order and holds one at a time. A piece must also be hashed, in order, before it
 * is filled again: whoever would have to wait, because the ring is full or empty, does that instead. So one large layer
 * keeps two processors busy, whichever half of the work is the larger one.
 *
 * The mutex guards the counters, the end and the error. A piece is only written by the worker, before it counts as
 * filled; from then on both sides may read it.
 *
 * The worker may wait for a pipe that nobody writes to: it polls the blob together with an eventfd that tarball_free()
 * raises and with that of the whole build. All signals are blocked in it, so that the program's handlers run where the
 * program expects them.
 */
#include "rootfs/tarball.h"

#include "base/digest.h"
#include "rootfs/inflate.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { PIECES = 8, PIECE_SIZE = 256 << 10, INPUT_SIZE = 128 << 10 };

struct piece {
	size_t size;
	unsigned char *bytes;
};

struct tarball {
	struct rootfs_layer layer;
	const struct stop *stop;
	_Atomic uint64_t *done;
	const struct inflate_kind *kind;
	struct inflate *inflate;
	struct digest *blob_digest, *plain_digest;
	unsigned char *input;
	struct piece pieces[PIECES];
	uint64_t plain;     /* bytes made so far */
	struct stop closed; /* by tarball_free() */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t mutex;
	pthread_cond_t changed;
	uint64_t filled, taken, hashed; /* pieces, ever counting */
	bool holding;                   /* the reader has pieces[taken] */
	bool hashing;                   /* somebody has pieces[hashed] */
	bool ended;
	struct annex_error *error;
};

/* Hash the next piece, if there is one that nobody has. The mutex is held, but not meanwhile. */
static bool hash_one(struct tarball *tarball)
{
	const struct piece *piece = &tarball->pieces[tarball->hashed % PIECES];

	if (tarball->hashing || tarball->hashed == tarball->filled)
		return false;
	tarball->hashing = true;
	pthread_mutex_unlock(&tarball->mutex);
	digest_add(tarball->plain_digest, piece->bytes, piece->size);
	pthread_mutex_lock(&tarball->mutex);
	tarball->hashing = false;
	tarball->hashed++;
	pthread_cond_broadcast(&tarball->changed);
	return true;
}

static bool is_full(const struct tarball *tarball)
{
	uint64_t used = tarball->taken < tarball->hashed ? tarball->taken : tarball->hashed;

	return tarball->filled - used == PIECES;
}

/* The next piece to fill, or NULL when the stream is being closed. */
static struct piece *wait_for_room(struct tarball *tarball)
{
	struct piece *piece = NULL;

	pthread_mutex_lock(&tarball->mutex);
	while (is_full(tarball) && !stop_is_raised(&tarball->closed)) {
		if (!hash_one(tarball))
			pthread_cond_wait(&tarball->changed, &tarball->mutex);
	}
	if (!stop_is_raised(&tarball->closed)) {
		piece = &tarball->pieces[tarball->filled % PIECES];
		piece->size = 0;
	}
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
	struct pollfd fds[] = {{.fd = tarball->layer.fd, .events = POLLIN},
			       {.fd = tarball->closed.fd, .events = POLLIN},
			       {.fd = tarball->stop->fd, .events = POLLIN}};
	ssize_t n;

	do {
		if (poll(fds, 3, -1) < 0)
			n = -1;
		else if (fds[1].revents || fds[2].revents)
			return -ECANCELED;
		else
			n = read(tarball->layer.fd, bytes, size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n < 0 ? -errno : n;
}

/* Count a piece, then let the reader have it. */
static int finish_piece(struct tarball *tarball, struct piece **piece, struct annex_error **err)
{
	tarball->plain += (*piece)->size;
	*piece = NULL;
	hand_over(tarball);
	if (tarball->plain > ROOTFS_STREAM)
		return fail(err, ANNEX_ERROR_CORRUPT, "more than %u GiB after decompression",
			    (unsigned)(ROOTFS_STREAM >> 30));
	if (tarball->plain > ROOTFS_BOMB && tarball->plain / ROOTFS_BOMB_RATIO > tarball->layer.size)
		return fail(err, ANNEX_ERROR_CORRUPT,
			    "a decompression bomb: %llu bytes become more than %u GiB, over %d times as much",
			    (unsigned long long)tarball->layer.size, (unsigned)(ROOTFS_BOMB >> 30), ROOTFS_BOMB_RATIO);
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
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
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
		atomic_store_explicit(tarball->done, done, memory_order_relaxed);
	}
	if (n == -ECANCELED)
		return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
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

static int allocate(struct tarball *tarball, struct annex_error **err)
{
	bool complete;

	tarball->inflate = tarball->kind->make();
	tarball->input = malloc(INPUT_SIZE);
	complete = tarball->inflate && tarball->input && digest_new(&tarball->blob_digest) == 0 &&
		   digest_new(&tarball->plain_digest) == 0;
	for (int i = 0; i < PIECES; i++) {
		tarball->pieces[i].bytes = malloc(PIECE_SIZE);
		complete = complete && tarball->pieces[i].bytes;
	}
	return complete ? 0 : fail_memory(err);
}

int tarball_open(struct tarball **ret, const struct rootfs_layer *layer, const struct stop *stop,
		 _Atomic uint64_t *done, struct annex_error **err)
{
	static const struct inflate_kind *const kinds[] = {
		[ROOTFS_PLAIN] = &inflate_plain, [ROOTFS_GZIP] = &inflate_gzip, [ROOTFS_ZSTD] = &inflate_zstd};
	auto_tarball struct tarball *tarball = calloc(1, sizeof(*tarball));
	int result;

	if (!tarball)
		return fail_memory(err);
	pthread_mutex_init(&tarball->mutex, NULL);
	pthread_cond_init(&tarball->changed, NULL);
	tarball->layer = *layer;
	tarball->stop = stop;
	tarball->done = done;
	tarball->kind = kinds[layer->compression];
	result = stop_init(&tarball->closed);
	if (result < 0)
		return fail_os(err, result, "cannot start a thread");
	if (allocate(tarball, err) < 0 || start(tarball, err) < 0)
		return -1;
	*ret = TAKE(tarball);
	return 0;
}

/* The reader is through with the piece it has. */
static void let_go(struct tarball *tarball)
{
	if (!tarball->holding)
		return;
	tarball->taken++;
	tarball->holding = false;
	pthread_cond_broadcast(&tarball->changed);
}

int tarball_read(struct tarball *tarball, const void **ret, size_t *ret_size, struct annex_error **err)
{
	const struct piece *piece = NULL;
	struct annex_error *error = NULL;
	bool failed = false;

	pthread_mutex_lock(&tarball->mutex);
	let_go(tarball);
	while (tarball->filled == tarball->taken && !tarball->ended) {
		if (!hash_one(tarball))
			pthread_cond_wait(&tarball->changed, &tarball->mutex);
	}
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

/* The thread has ended or is about to: what is not hashed is ours, but for the piece it may have. */
static void hash_rest(struct tarball *tarball)
{
	pthread_mutex_lock(&tarball->mutex);
	while (tarball->hashed < tarball->filled) {
		if (!hash_one(tarball))
			pthread_cond_wait(&tarball->changed, &tarball->mutex);
	}
	pthread_mutex_unlock(&tarball->mutex);
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
	hash_rest(tarball);
	digest_finish(tarball->blob_digest, digest);
	if (strcmp(digest, tarball->layer.digest) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "wrong digest: its content has %s", digest);
	digest_finish(tarball->plain_digest, digest);
	if (strcmp(digest, tarball->layer.diff_id) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "wrong diff id: its plain content has %s, the image says %s",
			    digest, tarball->layer.diff_id);
	return 0;
}

void tarball_free(struct tarball *tarball)
{
	if (!tarball)
		return;
	if (tarball->has_thread) {
		pthread_mutex_lock(&tarball->mutex);
		stop_raise(&tarball->closed);
		pthread_cond_broadcast(&tarball->changed);
		pthread_mutex_unlock(&tarball->mutex);
		pthread_join(tarball->thread, NULL);
	}
	stop_clear(&tarball->closed);
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
