/*
 * A ring of pieces between two threads. The worker fills pieces: it reads the blob, hashes it, decompresses it into the
 * piece and hashes that. The reader takes them in order and holds one at a time, which is not refilled before the next
 * stream_read(). The mutex guards the counters, the end and the error; a piece belongs to one side at a time.
 *
 * The worker may wait for a pipe that nobody writes to: it polls the blob together with an eventfd that stream_free()
 * raises. All signals are blocked in it, so that the program's handlers run where the program expects them.
 */
#include "rootfs/stream.h"

#include "base/digest.h"
#include "rootfs/inflate.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

enum { PIECES = 6, PIECE_SIZE = 512 << 10, INPUT_SIZE = 256 << 10 };

struct piece {
	size_t size;
	unsigned char *bytes;
};

struct stream {
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
static struct piece *wait_for_room(struct stream *stream)
{
	struct piece *piece = NULL;

	pthread_mutex_lock(&stream->mutex);
	while (stream->filled - stream->taken == PIECES && !stream->stopping)
		pthread_cond_wait(&stream->changed, &stream->mutex);
	if (!stream->stopping)
		piece = &stream->pieces[stream->filled % PIECES];
	pthread_mutex_unlock(&stream->mutex);
	return piece;
}

static void hand_over(struct stream *stream)
{
	pthread_mutex_lock(&stream->mutex);
	stream->filled++;
	pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&stream->mutex);
}

/* 0 at the end; -ECANCELED when the stream is being closed. */
static ssize_t read_blob(struct stream *stream, void *bytes, size_t size)
{
	struct pollfd fds[2] = {{.fd = stream->layer.fd, .events = POLLIN}, {.fd = stream->stop, .events = POLLIN}};
	ssize_t n;

	do {
		if (poll(fds, 2, -1) < 0)
			n = -1;
		else if (fds[1].revents)
			return -ECANCELED;
		else
			n = read(stream->layer.fd, bytes, size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	return n < 0 ? -errno : n;
}

/* Count and hash a piece, then let the reader have it. */
static int finish_piece(struct stream *stream, struct piece **piece, struct annex_error **err)
{
	digest_add(stream->plain_digest, (*piece)->bytes, (*piece)->size);
	stream->plain += (*piece)->size;
	*piece = NULL;
	hand_over(stream);
	if (stream->plain > ROOTFS_STREAM)
		return fail(err, ANNEX_ERROR_CORRUPT, "more than %u GiB after decompression",
			    (unsigned)(ROOTFS_STREAM >> 30));
	return 0;
}

/* Decompress what was read; pieces are handed over when they are full. The decompressor may hold back output when a
 * piece is full, so it is asked again then. */
static int spread(struct stream *stream, struct piece **piece, size_t size, struct annex_error **err)
{
	struct inflate_buffers buffers = {.in = stream->input, .in_size = size};
	size_t in_before, out_before;

	do {
		if (!*piece && !(*piece = wait_for_room(stream)))
			return -1;
		buffers.out = (*piece)->bytes + (*piece)->size;
		buffers.out_size = PIECE_SIZE - (*piece)->size;
		in_before = buffers.in_size;
		out_before = buffers.out_size;
		if (!stream->kind->run(stream->inflate, &buffers))
			return fail(err, ANNEX_ERROR_CORRUPT, "damaged %s data", stream->kind->name);
		if (in_before && in_before == buffers.in_size && out_before == buffers.out_size)
			return fail(err, ANNEX_ERROR_CORRUPT, "damaged %s data", stream->kind->name);
		(*piece)->size = PIECE_SIZE - buffers.out_size;
		if (buffers.out_size == 0 && finish_piece(stream, piece, err) < 0)
			return -1;
	} while (buffers.in_size > 0 || buffers.out_size == 0);
	return 0;
}

static int work_on(struct stream *stream, struct annex_error **err)
{
	struct piece *piece = NULL;
	uint64_t done = 0;
	ssize_t n;

	while ((n = read_blob(stream, stream->input, INPUT_SIZE)) > 0) {
		done += (uint64_t)n;
		if (done > stream->layer.size)
			return fail(err, ANNEX_ERROR_CORRUPT, "longer than the %llu bytes it should have",
				    (unsigned long long)stream->layer.size);
		digest_add(stream->blob_digest, stream->input, (size_t)n);
		if (spread(stream, &piece, (size_t)n, err) < 0)
			return -1;
		atomic_store(&stream->done, done);
	}
	if (n == -ECANCELED)
		return -1;
	if (n < 0)
		return fail_os(err, (int)n, "cannot read it");
	if (done < stream->layer.size)
		return fail(err, ANNEX_ERROR_CORRUPT, "truncated: %llu of %llu bytes", (unsigned long long)done,
			    (unsigned long long)stream->layer.size);
	if (!stream->kind->is_complete(stream->inflate))
		return fail(err, ANNEX_ERROR_CORRUPT, "truncated %s data", stream->kind->name);
	return piece && piece->size ? finish_piece(stream, &piece, err) : 0;
}

static void *work(void *data)
{
	struct stream *stream = data;
	struct annex_error *error = NULL;

	work_on(stream, &error);
	pthread_mutex_lock(&stream->mutex);
	stream->ended = true;
	stream->error = error;
	pthread_cond_broadcast(&stream->changed);
	pthread_mutex_unlock(&stream->mutex);
	return NULL;
}

static int start(struct stream *stream, struct annex_error **err)
{
	sigset_t all, before;
	int result;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&stream->thread, NULL, work, stream);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result != 0)
		return fail_os(err, result, "cannot start a thread");
	stream->has_thread = true;
	return 0;
}

int stream_open(struct stream **ret, const struct rootfs_layer *layer, struct annex_error **err)
{
	static const struct inflate_kind *const kinds[] = {
		[ROOTFS_PLAIN] = &inflate_plain, [ROOTFS_GZIP] = &inflate_gzip, [ROOTFS_ZSTD] = &inflate_zstd};
	auto_stream struct stream *stream = calloc(1, sizeof(*stream));
	bool complete;

	if (!stream)
		return fail_memory(err);
	pthread_mutex_init(&stream->mutex, NULL);
	pthread_cond_init(&stream->changed, NULL);
	stream->layer = *layer;
	stream->kind = kinds[layer->compression];
	stream->stop = eventfd(0, EFD_CLOEXEC);
	if (stream->stop < 0)
		return fail_os(err, errno, "cannot start a thread");
	stream->inflate = stream->kind->make();
	stream->input = malloc(INPUT_SIZE);
	complete = stream->inflate && stream->input && digest_new(&stream->blob_digest) == 0 &&
		   digest_new(&stream->plain_digest) == 0;
	for (int i = 0; i < PIECES; i++) {
		stream->pieces[i].bytes = malloc(PIECE_SIZE);
		complete = complete && stream->pieces[i].bytes;
	}
	if (!complete)
		return fail_memory(err);
	if (start(stream, err) < 0)
		return -1;
	*ret = TAKE(stream);
	return 0;
}

int stream_read(struct stream *stream, const void **ret, size_t *ret_size, struct annex_error **err)
{
	const struct piece *piece = NULL;
	struct annex_error *error = NULL;
	bool failed = false;

	pthread_mutex_lock(&stream->mutex);
	if (stream->holding) {
		stream->pieces[stream->taken++ % PIECES].size = 0;
		stream->holding = false;
		pthread_cond_broadcast(&stream->changed);
	}
	while (stream->filled == stream->taken && !stream->ended)
		pthread_cond_wait(&stream->changed, &stream->mutex);
	if (stream->filled > stream->taken) {
		piece = &stream->pieces[stream->taken % PIECES];
		stream->holding = true;
	} else {
		error = TAKE(stream->error);
		failed = error != NULL;
	}
	pthread_mutex_unlock(&stream->mutex);
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

int stream_finish(struct stream *stream, struct annex_error **err)
{
	char digest[DIGEST_TEXT];
	const void *bytes;
	size_t size;

	do {
		if (stream_read(stream, &bytes, &size, err) < 0)
			return -1;
	} while (size > 0);
	digest_finish(stream->blob_digest, digest);
	if (strcmp(digest, stream->layer.digest) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "wrong digest: its content has %s", digest);
	digest_finish(stream->plain_digest, digest);
	if (strcmp(digest, stream->layer.diff_id) != 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "wrong diff id: its plain content has %s, the image says %s",
			    digest, stream->layer.diff_id);
	return 0;
}

uint64_t stream_done(const struct stream *stream)
{
	return atomic_load(&stream->done);
}

void stream_free(struct stream *stream)
{
	uint64_t one = 1;

	if (!stream)
		return;
	if (stream->has_thread) {
		pthread_mutex_lock(&stream->mutex);
		stream->stopping = true;
		pthread_cond_broadcast(&stream->changed);
		pthread_mutex_unlock(&stream->mutex);
		while (write(stream->stop, &one, sizeof(one)) < 0 && errno == EINTR)
			;
		pthread_join(stream->thread, NULL);
	}
	cleanup_close(&stream->stop);
	if (stream->inflate)
		stream->kind->free(stream->inflate);
	digest_free(stream->blob_digest);
	digest_free(stream->plain_digest);
	for (int i = 0; i < PIECES; i++)
		free(stream->pieces[i].bytes);
	free(stream->input);
	annex_error_free(stream->error);
	pthread_cond_destroy(&stream->changed);
	pthread_mutex_destroy(&stream->mutex);
	free(stream);
}
