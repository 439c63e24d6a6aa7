/*
 * Two threads: the worker reads the blob and decompresses it, the reader, who is the caller, decodes what comes out.
 * Both the blob and the plain stream must be hashed too. They go through a lane each, a ring of pieces; a piece is
 * filled again when it was used and hashed. Whoever would have to wait, because a ring is full or empty, hashes a piece
 * instead, of either lane. So one large layer keeps two processors busy, whatever takes longest.
 *
 * The mutex guards the counters, the end and the error. A piece is only written by the worker, before it counts as
 * filled; from then on both sides may read it. The reader holds one piece at a time.
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

enum {
	PLAIN_PIECES = 8,
	PLAIN_SIZE = 256 << 10,
	BLOB_PIECES = 8,
	BLOB_SIZE = 64 << 10,
	MOST_PIECES = 8,
};

struct piece {
	size_t size;
	unsigned char *bytes;
};

struct lane {
	struct digest *digest;
	struct piece pieces[MOST_PIECES];
	unsigned count;                 /* of pieces */
	uint64_t filled, taken, hashed; /* pieces, ever counting */
	bool hashing;                   /* somebody has pieces[hashed] */
};

struct tarball {
	struct rootfs_layer layer;
	const struct stop *stop;
	_Atomic uint64_t *done;
	const struct inflate_kind *kind;
	struct inflate *inflate;
	uint64_t plain_size; /* made so far */
	struct stop closed;  /* by tarball_free() */
	pthread_t thread;
	bool has_thread;

	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct lane blob, plain;
	bool holding; /* the reader has the plain piece that is taken next */
	bool ended;
	struct annex_error *error;
};

/* Hash the next piece, if there is one that nobody has. The mutex is held, but not meanwhile. */
static bool hash_one(struct tarball *tarball, struct lane *lane)
{
	const struct piece *piece = &lane->pieces[lane->hashed % lane->count];

	if (lane->hashing || lane->hashed == lane->filled)
		return false;
	lane->hashing = true;
	pthread_mutex_unlock(&tarball->mutex);
	digest_add(lane->digest, piece->bytes, piece->size);
	pthread_mutex_lock(&tarball->mutex);
	lane->hashing = false;
	lane->hashed++;
	pthread_cond_broadcast(&tarball->changed);
	return true;
}

/* Something useful while `first` does not move. */
static void wait_usefully(struct tarball *tarball, struct lane *first)
{
	struct lane *other = first == &tarball->blob ? &tarball->plain : &tarball->blob;

	if (!hash_one(tarball, first) && !hash_one(tarball, other))
		pthread_cond_wait(&tarball->changed, &tarball->mutex);
}

static bool is_full(const struct lane *lane)
{
	return lane->filled - (lane->taken < lane->hashed ? lane->taken : lane->hashed) == lane->count;
}

/* The next piece to fill, or NULL when the stream is being closed. */
static struct piece *wait_for_room(struct tarball *tarball, struct lane *lane)
{
	struct piece *piece = NULL;

	pthread_mutex_lock(&tarball->mutex);
	while (is_full(lane) && !stop_is_raised(&tarball->closed))
		wait_usefully(tarball, lane);
	if (!stop_is_raised(&tarball->closed)) {
		piece = &lane->pieces[lane->filled % lane->count];
		piece->size = 0;
	}
	pthread_mutex_unlock(&tarball->mutex);
	return piece;
}

static void hand_over(struct tarball *tarball, struct lane *lane)
{
	pthread_mutex_lock(&tarball->mutex);
	lane->filled++;
	pthread_cond_broadcast(&tarball->changed);
	pthread_mutex_unlock(&tarball->mutex);
}

static void give_back(struct tarball *tarball, struct lane *lane)
{
	pthread_mutex_lock(&tarball->mutex);
	lane->taken++;
	pthread_mutex_unlock(&tarball->mutex);
}

/* 0: nothing comes within that time, and with -1 at the end; -ECANCELED when the stream is being closed. */
static ssize_t read_some(struct tarball *tarball, void *bytes, size_t size, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = tarball->layer.fd, .events = POLLIN},
			       {.fd = tarball->closed.fd, .events = POLLIN},
			       {.fd = tarball->stop->fd, .events = POLLIN}};
	ssize_t n;
	int ready;

	do {
		ready = poll(fds, 3, timeout_ms);
		if (ready < 0)
			n = -1;
		else if (fds[1].revents || fds[2].revents)
			return -ECANCELED;
		else
			n = ready == 0 ? 0 : read(tarball->layer.fd, bytes, size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n < 0 ? -errno : n;
}

/* As much of a piece as is there already, and something; 0 at the end. */
static ssize_t read_blob(struct tarball *tarball, struct piece *piece)
{
	ssize_t n = read_some(tarball, piece->bytes, BLOB_SIZE, -1);

	while (n > 0 && (piece->size += (size_t)n) < BLOB_SIZE)
		n = read_some(tarball, piece->bytes + piece->size, BLOB_SIZE - piece->size, 0);
	return n < 0 ? n : (ssize_t)piece->size;
}

/* Count a piece, then let the reader have it. */
static int finish_piece(struct tarball *tarball, struct piece **piece, struct annex_error **err)
{
	tarball->plain_size += (*piece)->size;
	*piece = NULL;
	hand_over(tarball, &tarball->plain);
	if (tarball->plain_size > ROOTFS_STREAM)
		return fail(err, ANNEX_ERROR_CORRUPT, "more than %u GiB after decompression",
			    (unsigned)(ROOTFS_STREAM >> 30));
	if (tarball->plain_size > ROOTFS_BOMB && tarball->plain_size / ROOTFS_BOMB_RATIO > tarball->layer.size)
		return fail(err, ANNEX_ERROR_CORRUPT,
			    "a decompression bomb: %llu bytes become more than %u GiB, over %d times as much",
			    (unsigned long long)tarball->layer.size, (unsigned)(ROOTFS_BOMB >> 30), ROOTFS_BOMB_RATIO);
	return 0;
}

/* Decompress a piece of the blob; plain pieces are handed over when they are full. The decompressor may hold back
 * output when a piece is full, so it is asked again then. */
static int spread(struct tarball *tarball, struct piece **piece, const struct piece *from, struct annex_error **err)
{
	struct inflate_buffers buffers = {.in = from->bytes, .in_size = from->size};
	size_t in_before, out_before;

	do {
		if (!*piece && !(*piece = wait_for_room(tarball, &tarball->plain)))
			return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
		buffers.out = (*piece)->bytes + (*piece)->size;
		buffers.out_size = PLAIN_SIZE - (*piece)->size;
		in_before = buffers.in_size;
		out_before = buffers.out_size;
		if (!tarball->kind->run(tarball->inflate, &buffers))
			return fail(err, ANNEX_ERROR_CORRUPT, "damaged %s data", tarball->kind->name);
		if (in_before && in_before == buffers.in_size && out_before == buffers.out_size)
			return fail(err, ANNEX_ERROR_CORRUPT, "damaged %s data", tarball->kind->name);
		(*piece)->size = PLAIN_SIZE - buffers.out_size;
		if (buffers.out_size == 0 && finish_piece(tarball, piece, err) < 0)
			return -1;
	} while (buffers.in_size > 0 || buffers.out_size == 0);
	return 0;
}

/* One piece of the blob; *done is left alone at the end. */
static int take_piece(struct tarball *tarball, struct piece **plain, uint64_t *done, struct annex_error **err)
{
	struct piece *piece = wait_for_room(tarball, &tarball->blob);
	ssize_t n = piece ? read_blob(tarball, piece) : -ECANCELED;

	if (n == -ECANCELED)
		return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
	if (n < 0)
		return fail_os(err, (int)n, "cannot read it");
	if (n == 0)
		return 0;
	*done += (uint64_t)n;
	if (*done > tarball->layer.size)
		return fail(err, ANNEX_ERROR_CORRUPT, "longer than the %llu bytes it should have",
			    (unsigned long long)tarball->layer.size);
	hand_over(tarball, &tarball->blob);
	if (spread(tarball, plain, piece, err) < 0)
		return -1;
	give_back(tarball, &tarball->blob);
	atomic_store_explicit(tarball->done, *done, memory_order_relaxed);
	return 0;
}

static int work_on(struct tarball *tarball, struct annex_error **err)
{
	struct piece *plain = NULL;
	uint64_t done = 0, before;

	do {
		before = done;
		if (take_piece(tarball, &plain, &done, err) < 0)
			return -1;
	} while (done != before);
	if (done < tarball->layer.size)
		return fail(err, ANNEX_ERROR_CORRUPT, "truncated: %llu of %llu bytes", (unsigned long long)done,
			    (unsigned long long)tarball->layer.size);
	if (!tarball->kind->is_complete(tarball->inflate))
		return fail(err, ANNEX_ERROR_CORRUPT, "truncated %s data", tarball->kind->name);
	return plain && plain->size ? finish_piece(tarball, &plain, err) : 0;
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

static int make_lane(struct lane *lane, unsigned count, size_t size)
{
	lane->count = count;
	if (digest_new(&lane->digest) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		lane->pieces[i].bytes = malloc(size);
		if (!lane->pieces[i].bytes)
			return -ENOMEM;
	}
	return 0;
}

static void clear_lane(struct lane *lane)
{
	digest_free(lane->digest);
	for (unsigned i = 0; i < lane->count; i++)
		free(lane->pieces[i].bytes);
}

static int allocate(struct tarball *tarball, struct annex_error **err)
{
	tarball->inflate = tarball->kind->make();
	if (!tarball->inflate || make_lane(&tarball->blob, BLOB_PIECES, BLOB_SIZE) < 0 ||
	    make_lane(&tarball->plain, PLAIN_PIECES, PLAIN_SIZE) < 0)
		return fail_memory(err);
	return 0;
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
	tarball->plain.taken++;
	tarball->holding = false;
	pthread_cond_broadcast(&tarball->changed);
}

int tarball_read(struct tarball *tarball, const void **ret, size_t *ret_size, struct annex_error **err)
{
	struct lane *plain = &tarball->plain;
	const struct piece *piece = NULL;
	struct annex_error *error = NULL;
	bool failed = false;

	pthread_mutex_lock(&tarball->mutex);
	let_go(tarball);
	while (plain->filled == plain->taken && !tarball->ended)
		wait_usefully(tarball, plain);
	if (plain->filled > plain->taken) {
		piece = &plain->pieces[plain->taken % plain->count];
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

/* The worker has ended, so nobody else hashes any more. */
static void hash_rest(struct tarball *tarball)
{
	pthread_mutex_lock(&tarball->mutex);
	while (hash_one(tarball, &tarball->blob) || hash_one(tarball, &tarball->plain))
		;
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
	digest_finish(tarball->blob.digest, digest);
	if (strcmp(digest, tarball->layer.digest) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "wrong digest: its content has %s", digest);
	digest_finish(tarball->plain.digest, digest);
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
	clear_lane(&tarball->blob);
	clear_lane(&tarball->plain);
	annex_error_free(tarball->error);
	pthread_cond_destroy(&tarball->changed);
	pthread_mutex_destroy(&tarball->mutex);
	free(tarball);
}
