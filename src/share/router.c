/*
 * Ids of nodes tell who gave them, so most requests need only a look at their header. The rest: a share is looked up in
 * the root folder by its name; what is about all that the guest knows (that it starts, ends, forgets many nodes at
 * once, syncs) goes to everybody. A process that joins later is told how the guest started.
 *
 * The header that is looked at here may be another one when it is served, as it lies in the guest's memory: whoever
 * gets it looks for himself, and finds ids of others to be none.
 *
 * Others are counted while a request is with them, and stay until it is back.
 */
#include "share/router.h"

#include "share/bridge.h"
#include "share/call.h"

#include <pthread.h>
#include <string.h>

#define ANSWER_LIMIT 256 /* of what goes to everybody */
#define START_LIMIT  256 /* of how the guest starts */

struct other {
	_Atomic(unsigned) refs;
	uint16_t number;
	char *name;
	struct bridge *bridge;
};

struct router {
	struct fuse_server *server;
	pthread_rwlock_t lock;
	struct other *others[ROUTER_LIMIT];
	_Atomic(size_t) count;
	pthread_mutex_t starting; /* whoever starts a session, or takes part in it */
	char start[START_LIMIT];
	size_t start_size; /* 0: the guest has not started */
};

static void other_unref(struct other *other)
{
	if (!other || atomic_fetch_sub(&other->refs, 1) != 1)
		return;
	bridge_free(other->bridge);
	free(other->name);
	free(other);
}

static void cleanup_other(struct other **other)
{
	other_unref(*other);
}
#define auto_other CLEANUP(cleanup_other)

int router_new(struct router **ret, struct fuse_server *server, struct annex_error **err)
{
	struct router *router = calloc(1, sizeof(*router));

	if (!router)
		return fail_memory(err);
	router->server = server;
	pthread_rwlock_init(&router->lock, NULL);
	pthread_mutex_init(&router->starting, NULL);
	*ret = router;
	return 0;
}

void router_free(struct router *router)
{
	if (!router)
		return;
	for (size_t i = 0; i < router->count; i++)
		other_unref(router->others[i]);
	pthread_mutex_destroy(&router->starting);
	pthread_rwlock_destroy(&router->lock);
	free(router);
}

/* A reference, or NULL: with this name, or with this number. */
static struct other *find(struct router *router, const char *name, uint16_t number)
{
	struct other *found = NULL;

	pthread_rwlock_rdlock(&router->lock);
	for (size_t i = 0; i < router->count && !found; i++) {
		struct other *other = router->others[i];

		if (name ? strcmp(other->name, name) == 0 : other->number == number)
			found = other;
	}
	if (found)
		atomic_fetch_add(&found->refs, 1);
	pthread_rwlock_unlock(&router->lock);
	return found;
}

bool router_has(struct router *router, const char *name)
{
	auto_other struct other *other = find(router, name, 0);

	return other != NULL;
}

/* --- who takes part --- */

/* Tells it how the guest started, if it did. */
static void start_other(const struct router *router, const struct other *other)
{
	char bytes[ANSWER_LIMIT];
	struct iovec in = {(void *)router->start, router->start_size}, out = {bytes, sizeof(bytes)};
	const struct share_request request = {.in = &in, .in_count = 1, .out = &out, .out_count = 1};

	if (router->start_size > 0)
		(void)bridge_serve(other->bridge, &request);
}

static int take_in(struct router *router, struct other *other, struct annex_error **err)
{
	size_t count = router->count;

	if (count == ROUTER_LIMIT)
		return fail(err, ANNEX_ERROR_USAGE, "more than %d shares were added while the machine runs",
			    ROUTER_LIMIT);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(router->others[i]->name, other->name) == 0 || router->others[i]->number == other->number)
			return fail(err, ANNEX_ERROR_EXISTS, "there is a share '%s' already", other->name);
	}
	router->others[count] = other;
	router->count = count + 1;
	return 0;
}

int router_join(struct router *router, uint16_t number, const char *name, const int *fds, unsigned count,
		struct annex_error **err)
{
	auto_other struct other *other = calloc(1, sizeof(*other));
	int result;

	if (!other)
		return fail_memory(err);
	other->refs = 1;
	other->number = number;
	other->name = strdup(name);
	if (!other->name)
		return fail_memory(err);
	if (fuse_has_share(router->server, name))
		return fail(err, ANNEX_ERROR_EXISTS, "there is a share '%s' already", name);
	if (bridge_open(&other->bridge, fds, count, err) < 0)
		return -1;
	pthread_mutex_lock(&router->starting);
	start_other(router, other);
	pthread_rwlock_wrlock(&router->lock);
	result = take_in(router, other, err);
	pthread_rwlock_unlock(&router->lock);
	pthread_mutex_unlock(&router->starting);
	if (result == 0)
		other = NULL; /* the router's */
	return result;
}

int router_leave(struct router *router, uint16_t number, struct annex_error **err)
{
	auto_other struct other *other = NULL;
	size_t i = 0;

	pthread_rwlock_wrlock(&router->lock);
	while (i < router->count && router->others[i]->number != number)
		i++;
	if (i < router->count) {
		other = router->others[i];
		router->others[i] = router->others[--router->count];
	}
	pthread_rwlock_unlock(&router->lock);
	return other ? 0 : fail(err, ANNEX_ERROR_NOT_FOUND, "there is no process %u", number);
}

/* --- requests --- */

/* An answer that is an error only; 0 bytes where there is room for none. */
static ssize_t answer_error(struct share_request *request, const struct fuse_in_header *header, int error)
{
	struct fuse_out_header out = {.len = sizeof(out), .error = error, .unique = header->unique};
	struct cursor answer = cursor_at(request->out, request->out_count);

	if (answer.left < sizeof(out))
		return 0;
	return (ssize_t)cursor_write(&answer, &out, sizeof(out));
}

static ssize_t pass(const struct other *other, struct share_request *request, const struct fuse_in_header *header)
{
	ssize_t result = bridge_serve(other->bridge, request);

	return result == -EIO ? answer_error(request, header, -EIO) : result;
}

/* References to all others. */
static size_t find_all(struct router *router, struct other *ret[ROUTER_LIMIT])
{
	size_t count;

	pthread_rwlock_rdlock(&router->lock);
	count = router->count;
	for (size_t i = 0; i < count; i++) {
		ret[i] = router->others[i];
		atomic_fetch_add(&ret[i]->refs, 1);
	}
	pthread_rwlock_unlock(&router->lock);
	return count;
}

/* To all others; the first error that one of them answers. */
static int pass_to_all(struct router *router, const struct share_request *request)
{
	struct other *others[ROUTER_LIMIT];
	size_t count = find_all(router, others);
	int error = 0;

	for (size_t i = 0; i < count; i++) {
		auto_other struct other *other = others[i];
		char bytes[ANSWER_LIMIT];
		struct iovec out = {bytes, sizeof(bytes)};
		const struct share_request copy = {
			.in = request->in, .in_count = request->in_count, .out = &out, .out_count = 1};
		struct fuse_out_header header = {0};

		if (bridge_serve(other->bridge, &copy) < (ssize_t)sizeof(header))
			continue;
		memcpy(&header, bytes, sizeof(header));
		if (error == 0 && header.error < 0 && header.error > -4096)
			error = header.error;
	}
	return error;
}

static ssize_t start(struct router *router, struct share_request *request)
{
	struct cursor in = cursor_at(request->in, request->in_count);
	struct iovec part = {router->start, 0};
	struct share_request copy = *request;
	ssize_t result;

	/* What is started here and there must be the same, so it is what was copied. */
	pthread_mutex_lock(&router->starting);
	part.iov_len = cursor_read(&in, router->start, sizeof(router->start));
	copy.in = &part;
	copy.in_count = 1;
	router->start_size = 0;
	if (in.left == 0) {
		router->start_size = part.iov_len;
		result = fuse_serve(router->server, &copy);
		(void)pass_to_all(router, &copy);
	} else {
		result = fuse_serve(router->server, request);
	}
	pthread_mutex_unlock(&router->starting);
	return result;
}

static ssize_t look_up(struct router *router, struct share_request *request, const struct fuse_in_header *header)
{
	struct cursor in = cursor_at(request->in, request->in_count);
	auto_other struct other *other = NULL;
	char name[CALL_NAME_LIMIT + 1];

	cursor_skip(&in, sizeof(*header));
	if (cursor_string(&in, name, CALL_NAME_LIMIT) == 0)
		other = find(router, name, 0);
	return other ? pass(other, request, header) : fuse_serve(router->server, request);
}

static ssize_t route(struct router *router, struct share_request *request, const struct fuse_in_header *header)
{
	uint16_t number = fuse_number_of(header->nodeid);
	auto_other struct other *other = NULL;
	int error;

	switch (header->opcode) {
	case FUSE_LOOKUP:
		if (header->nodeid == FUSE_ROOT_ID)
			return look_up(router, request, header);
		break;
	case FUSE_DESTROY: /* what joins now, is told of the start that was the last one; the next comes before all else
			    */
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		(void)pass_to_all(router, request);
		return fuse_serve(router->server, request);
	case FUSE_SYNCFS:
		error = pass_to_all(router, request);
		return error < 0 ? answer_error(request, header, error) : fuse_serve(router->server, request);
	default:
		break;
	}
	other = number ? find(router, NULL, number) : NULL;
	return other ? pass(other, request, header) : fuse_serve(router->server, request);
}

ssize_t router_serve(struct router *router, struct share_request *request)
{
	struct cursor in = cursor_at(request->in, request->in_count);
	struct fuse_in_header header;

	if (cursor_read(&in, &header, sizeof(header)) < sizeof(header))
		return fuse_serve(router->server, request);
	if (header.opcode == FUSE_INIT)
		return start(router, request);
	if (router->count == 0)
		return fuse_serve(router->server, request);
	return route(router, request, &header);
}
