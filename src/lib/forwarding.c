/*
 * Only what was offered can be asked for by the machine, and it is this process that connects: as its user, with no
 * more rights than any program of that user's has.
 *
 * A Unix socket whose owner lets no more connections wait refuses at once, without anything to poll for, where a
 * blocking connect() would wait; so that the session doesn't, it is tried again every RETRY_MS until the machine's side
 * gives up.
 */
#include "lib/forwarding.h"

#include "forward/forwards.h"
#include "forward/socket.h"
#include "machine/volume.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	RETRY_MS = 50,
	LINGER_MS = 5000,    /* that what is left may take to be written */
	QUEUE_HIGH = 262144, /* sockets are not read while so much waits to be sent */
};

/* A connection that waits to be taken. */
struct attempt {
	struct attempt *next;
	struct forwarding *all;
	uint32_t forward, connection;
	struct loop_source *timer;
};

struct forwarding {
	struct forwards *forwards;
	struct loop *loop;
	struct channel *channel;
	uint16_t stream;
	struct text_list offers;
	struct text_list paths; /* of ours, for each */
	bool made[WIRE_FORWARDS_MAX];
	struct attempt *attempts;
	struct loop_source *linger;
	bool finished, gave_up;
};

static void attempt_free(struct attempt *attempt)
{
	struct attempt **at = &attempt->all->attempts;

	while (*at != attempt)
		at = &(*at)->next;
	*at = attempt->next;
	loop_source_free(attempt->timer);
	free(attempt);
}

static int connect_now(const struct forwarding *forwarding, uint32_t forward)
{
	int fd = -1, result = socket_connect(&fd, forwarding->paths.items[forward], SOCK_NONBLOCK, 0);

	return result < 0 ? result : fd;
}

static void on_retry(struct loop_source *timer, void *data)
{
	struct attempt *attempt = data;
	struct forwarding *forwarding = attempt->all;
	uint32_t connection = attempt->connection;
	int fd;

	if (!forwards_awaits(forwarding->forwards, connection)) {
		attempt_free(attempt);
		return;
	}
	fd = connect_now(forwarding, attempt->forward);
	if (fd == -EAGAIN) {
		loop_timer_restart(timer, RETRY_MS);
		return;
	}
	attempt_free(attempt);
	forwards_attach(forwarding->forwards, connection, fd);
}

static void on_connect(uint32_t forward, uint32_t connection, void *data)
{
	struct forwarding *forwarding = data;
	int fd = connect_now(forwarding, forward);
	struct attempt *attempt;

	if (fd != -EAGAIN) {
		forwards_attach(forwarding->forwards, connection, fd);
		return;
	}
	attempt = calloc(1, sizeof(*attempt));
	if (!attempt || loop_add_timer(&attempt->timer, forwarding->loop, RETRY_MS, on_retry, attempt) < 0) {
		free(attempt);
		forwards_attach(forwarding->forwards, connection, -ENOMEM);
		return;
	}
	attempt->all = forwarding;
	attempt->forward = forward;
	attempt->connection = connection;
	attempt->next = forwarding->attempts;
	forwarding->attempts = attempt;
}

static void on_send(enum message_kind kind, const void *body, void *data)
{
	struct forwarding *forwarding = data;

	channel_put(forwarding->channel, kind, forwarding->stream, body);
}

static void on_send_data(enum message_kind kind, void *payload, size_t size, void *data)
{
	struct forwarding *forwarding = data;

	channel_forward(forwarding->channel, kind, forwarding->stream, payload, size);
}

static bool on_has_room(struct connection *connection, void *data)
{
	const struct forwarding *forwarding = data;

	(void)connection;
	return channel_queued(forwarding->channel) < QUEUE_HIGH;
}

static void on_moved(void *data)
{
	(void)data; /* whoever dispatches asks */
}

static const struct forwards_callbacks callbacks = {{on_send, on_send_data, on_has_room}, on_connect, on_moved};

/* A path here, from the working folder of now. */
static int make_path(char **ret, const char *path, size_t size, struct annex_error **err)
{
	const char *home = getenv("HOME");
	auto_free char *here = NULL;
	int result;

	if (*path == '/') {
		*ret = strndup(path, size);
		return *ret ? 0 : fail_memory(err);
	}
	if (home && size > 2 && text_starts(path, "~/")) {
		result = asprintf(ret, "%s%.*s", home, (int)size - 1, path + 1);
	} else {
		here = getcwd(NULL, 0);
		if (!here)
			return fail_os(err, errno, "the working folder");
		result = asprintf(ret, "%s/%.*s", here, (int)size, path);
	}
	if (result >= 0)
		return 0;
	*ret = NULL;
	return fail_memory(err);
}

static int add(struct forwarding *forwarding, const char *kind, const char *guest, const char *path,
	       struct annex_error **err)
{
	if (forwarding->offers.count == WIRE_FORWARDS_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "a session can have at most %u sockets", WIRE_FORWARDS_MAX);
	if (text_list_printf(&forwarding->offers, "%s%s", kind, guest) < 0 ||
	    text_list_add(&forwarding->paths, path) < 0)
		return fail_memory(err);
	return 0;
}

static int add_socket(struct forwarding *forwarding, const char *kind, const char *text, struct annex_error **err)
{
	const char *guest = volume_find_guest(text);
	auto_free char *path = NULL;

	if (!guest || guest == text + 1 || strlen(text) >= PATH_MAX) {
		fail(err, ANNEX_ERROR_USAGE, "'%.200s' is not HOST:GUEST, with an absolute path in the machine", text);
		return fail_hint(err, "such as ~/site/db.sock:/tmp/db.sock");
	}
	if (make_path(&path, text, (size_t)(guest - 1 - text), err) < 0)
		return -1;
	return add(forwarding, kind, guest, path, err);
}

static int add_all(struct forwarding *forwarding, const char *kind, const char *const *texts, struct annex_error **err)
{
	for (; texts && *texts; texts++) {
		if (add_socket(forwarding, kind, *texts, err) < 0)
			return -1;
	}
	return 0;
}

static bool has_own_agent(const char *const *environment)
{
	for (; environment && *environment; environment++) {
		if (text_starts(*environment, "SSH_AUTH_SOCK="))
			return true;
	}
	return false;
}

static int add_agent(struct forwarding *forwarding, const char *const *environment, struct annex_error **err)
{
	const char *path = getenv("SSH_AUTH_SOCK");
	struct stat st;

	if (!path || *path != '/' || has_own_agent(environment) || stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return 0;
	return add(forwarding, WIRE_FORWARD_AGENT, "", path, err);
}

static int collect(struct forwarding *forwarding, const struct annex_session_options *options, bool agent,
		   struct annex_error **err)
{
	if (add_all(forwarding, WIRE_FORWARD_LISTEN, options->forward_sockets, err) < 0 ||
	    add_all(forwarding, WIRE_FORWARD_CONNECT, options->publish_sockets, err) < 0)
		return -1;
	if (options->detach && forwarding->offers.count > 0)
		return fail(err, ANNEX_ERROR_USAGE, "a session that is detached has nobody to forward sockets to");
	return agent && !options->detach ? add_agent(forwarding, options->environment, err) : 0;
}

int forwarding_check(const struct annex_session_options *options, struct annex_error **err)
{
	struct forwarding scratch = {0};
	int result = collect(&scratch, options, false, err);

	text_list_clear(&scratch.offers);
	text_list_clear(&scratch.paths);
	return result;
}

static int listen_all(struct forwarding *forwarding, struct annex_error **err)
{
	int result = forwards_new(&forwarding->forwards, forwarding->loop, FORWARDS_CLIENT,
				  (const char *const *)forwarding->offers.items, &callbacks, forwarding);

	if (result < 0)
		return fail_memory(err);
	for (uint32_t i = 0; i < forwarding->offers.count; i++) {
		struct offer offer;
		int fd = -1;

		if (!offer_parse(&offer, forwarding->offers.items[i]) || offer.by_guest)
			continue;
		if (socket_listen(&fd, forwarding->paths.items[i], err) < 0)
			return -1;
		forwarding->made[i] = forwards_listen(forwarding->forwards, i, fd);
	}
	return 0;
}

int forwarding_new(struct forwarding **ret, struct loop *loop, struct channel *channel, uint16_t stream,
		   const struct annex_session_options *options, bool agent, struct annex_error **err)
{
	struct forwarding *forwarding = calloc(1, sizeof(*forwarding));

	if (!forwarding)
		return fail_memory(err);
	*forwarding = (struct forwarding){.loop = loop, .channel = channel, .stream = stream};
	if (collect(forwarding, options, agent, err) < 0 ||
	    (forwarding->offers.count > 0 && listen_all(forwarding, err) < 0)) {
		forwarding_free(forwarding);
		return -1;
	}
	if (forwarding->offers.count == 0) {
		forwarding_free(forwarding);
		forwarding = NULL;
	}
	*ret = forwarding;
	return 0;
}

/* In the order that leaves no moment in which somebody else's socket could be taken for ours: nobody listens at it any
 * more, then it is removed. */
static void remove_sockets(struct forwarding *forwarding)
{
	for (size_t i = 0; i < forwarding->paths.count; i++) {
		if (forwarding->made[i])
			(void)!socket_remove_stale(forwarding->paths.items[i]);
		forwarding->made[i] = false;
	}
}

void forwarding_free(struct forwarding *forwarding)
{
	if (!forwarding)
		return;
	while (forwarding->attempts)
		attempt_free(forwarding->attempts);
	loop_source_free(forwarding->linger);
	forwards_free(forwarding->forwards);
	remove_sockets(forwarding);
	text_list_clear(&forwarding->offers);
	text_list_clear(&forwarding->paths);
	free(forwarding);
}

const char *const *forwarding_offers(const struct forwarding *forwarding)
{
	return forwarding ? (const char *const *)forwarding->offers.items : NULL;
}

int forwarding_run(struct forwarding *forwarding)
{
	return forwarding ? forwards_run(forwarding->forwards) : 0;
}

int forwarding_handle(struct forwarding *forwarding, const struct message *message)
{
	return forwarding && forwards_handle(forwarding->forwards, message) ? 0 : -EPROTO;
}

void forwarding_resume(struct forwarding *forwarding)
{
	if (forwarding)
		forwards_resume(forwarding->forwards);
}

static void on_linger(struct loop_source *source, void *data)
{
	struct forwarding *forwarding = data;

	(void)source;
	forwarding->gave_up = true;
}

void forwarding_finish(struct forwarding *forwarding)
{
	if (!forwarding || forwarding->finished)
		return;
	forwarding->finished = true;
	forwards_stop(forwarding->forwards);
	remove_sockets(forwarding);
	if (!forwards_are_written(forwarding->forwards))
		forwarding->gave_up =
			loop_add_timer(&forwarding->linger, forwarding->loop, LINGER_MS, on_linger, forwarding) < 0;
}

bool forwarding_has_ended(const struct forwarding *forwarding)
{
	return !forwarding || forwarding->gave_up || forwards_are_written(forwarding->forwards);
}
