#include "guest/forwarding.h"

#include "base/log.h"
#include "forward/forwards.h"
#include "forward/socket.h"
#include "guest/execute.h"
#include "guest/launch.h"
#include "guest/offering.h"
#include "guest/process.h"
#include "guest/report.h"

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

enum { CONNECT_S = 30 };

/* A child that connects to what a forward leads to. */
struct attempt {
	struct attempt *next;
	struct forwarding *all;
	uint32_t connection;
	int report;
	struct loop_source *source;
};

struct forwarding {
	struct forwarding_options options;
	struct forwards *forwards;
	struct message_open open; /* whose forwards they are; the texts are ours */
	char *user;
	struct text_list offers;
	struct attempt *attempts;
	bool made; /* sockets in the machine */
};

static void attempt_free(struct attempt *attempt)
{
	struct attempt **at = &attempt->all->attempts;

	while (*at != attempt)
		at = &(*at)->next;
	*at = attempt->next;
	loop_source_free(attempt->source);
	cleanup_close(&attempt->report);
	free(attempt);
}

static struct launch launch_of(const struct forwarding *forwarding, int report)
{
	return (struct launch){.open = &forwarding->open,
			       .config = *forwarding->options.config,
			       .init_pidfd = *forwarding->options.init_pidfd,
			       .number = forwarding->options.number,
			       .report = report};
}

/* In a child that serves the session's user: nothing of the agent's may be found in it. */
static void keep_only(int *report)
{
	enum { KEPT = 3 };

	if (*report >= 0 && *report != KEPT) {
		if (dup3(*report, KEPT, O_CLOEXEC) < 0)
			_exit(127);
		*report = KEPT;
	}
	syscall(SYS_close_range, *report < 0 ? KEPT : KEPT + 1, ~0u, 0);
}

static int enter_as_user(struct launch *launch, struct annex_error **err)
{
	struct passwd_identity identity = {0};

	process_reset();
	if (launch_enter(&identity, launch, err) < 0)
		return -1;
	keep_only(&launch->report);
	return execute_as(&identity, err);
}

static _Noreturn void connect_in_child(struct launch launch, const char *path)
{
	struct annex_error *err = NULL;
	int fd = -1, result;

	if (enter_as_user(&launch, &err) < 0) {
		report_send_error(launch.report, err);
		_exit(127);
	}
	result = socket_connect(&fd, path, 0, CONNECT_S);
	if (result == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		result = -errno;
	if (result == 0)
		result = report_send_fd(launch.report, fd, 0);
	if (result < 0) {
		fail_os(&err, result, "cannot connect to %s", path);
		report_send_error(launch.report, err);
	}
	_exit(0);
}

static void on_attempt(struct loop_source *source, int report_fd, uint32_t events, void *data)
{
	struct attempt *attempt = data;
	struct forwarding *forwarding = attempt->all;
	uint32_t connection = attempt->connection;
	struct report report;
	int fd = -ECONNREFUSED;

	(void)source;
	(void)events;
	switch (report_receive(&report, &fd, report_fd)) {
	case REPORT_NOTHING:
		return;
	case REPORT_ERROR:
		log_debug("session %u: %.200s", forwarding->options.number, report.message);
		break;
	case REPORT_FD:
	case REPORT_END:
		break;
	}
	attempt_free(attempt);
	forwards_attach(forwarding->forwards, connection, fd);
}

static int begin_attempt(struct attempt *attempt, const char *path)
{
	struct forwarding *forwarding = attempt->all;
	int pair[2], result = report_pair(pair);
	pid_t pid;

	if (result < 0)
		return result;
	attempt->report = pair[0];
	pid = process_fork_into(*forwarding->options.init_pidfd);
	if (pid == 0)
		connect_in_child(launch_of(forwarding, pair[1]), path);
	cleanup_close(&pair[1]);
	if (pid < 0)
		return pid;
	return loop_add_fd(&attempt->source, forwarding->options.loop, attempt->report, EPOLLIN, on_attempt, attempt);
}

static void on_connect(uint32_t forward, uint32_t connection, void *data)
{
	struct forwarding *forwarding = data;
	struct attempt *attempt = calloc(1, sizeof(*attempt));
	struct offer offer = {0};
	int result;

	if (!attempt || !offer_parse(&offer, forwarding->offers.items[forward])) {
		free(attempt);
		forwards_attach(forwarding->forwards, connection, -ENOMEM);
		return;
	}
	*attempt = (struct attempt){
		.next = forwarding->attempts, .all = forwarding, .connection = connection, .report = -1};
	forwarding->attempts = attempt;
	result = begin_attempt(attempt, offer.path);
	if (result == 0)
		return;
	log_info("session %u: cannot connect: %s", forwarding->options.number, strerror(-result));
	attempt_free(attempt);
	forwards_attach(forwarding->forwards, connection, result);
}

static void on_send(enum message_kind kind, const void *body, void *data)
{
	const struct forwarding *forwarding = data;

	link_send(forwarding->options.link, kind, forwarding->options.stream, body);
}

static void on_send_data(enum message_kind kind, void *payload, size_t size, void *data)
{
	const struct forwarding *forwarding = data;

	link_send_data(forwarding->options.link, kind, forwarding->options.stream, payload, size);
}

static bool on_has_room(struct connection *connection, void *data)
{
	const struct forwarding *forwarding = data;

	(void)connection;
	return link_has_room(forwarding->options.link);
}

static void on_moved(void *data)
{
	const struct forwarding *forwarding = data;

	forwarding->options.moved(forwarding->options.data);
}

static const struct forwards_callbacks callbacks = {{on_send, on_send_data, on_has_room}, on_connect, on_moved};

static int copy(struct forwarding *forwarding, const struct message_open *open)
{
	int result = text_copy(&forwarding->user, open->user);

	for (size_t i = 0; open->forwards[i] && result == 0; i++)
		result = text_list_add(&forwarding->offers, open->forwards[i]);
	forwarding->open = (struct message_open){.flags = open->flags,
						 .user = forwarding->user,
						 .forwards = (const char *const *)forwarding->offers.items};
	return result;
}

int forwarding_new(struct forwarding **ret, const struct message_open *open, const struct forwarding_options *options)
{
	struct forwarding *forwarding;
	int result = offer_count(open->forwards);

	if (result <= 0) {
		*ret = NULL;
		return result;
	}
	forwarding = calloc(1, sizeof(*forwarding));
	if (!forwarding)
		return -ENOMEM;
	forwarding->options = *options;
	result = copy(forwarding, open);
	if (result == 0)
		result = forwards_new(&forwarding->forwards, options->loop, FORWARDS_GUEST, forwarding->open.forwards,
				      &callbacks, forwarding);
	if (result < 0) {
		forwarding_free(forwarding);
		return result;
	}
	*ret = forwarding;
	return 0;
}

static _Noreturn void remove_in_child(struct launch launch)
{
	auto_error struct annex_error *err = NULL;
	struct passwd_identity identity = {0};
	struct offer offer;

	process_reset();
	if (launch_enter(&identity, &launch, &err) < 0)
		_exit(127);
	keep_only(&launch.report);
	for (size_t i = 0; launch.open->forwards[i]; i++) {
		if (offer_parse(&offer, launch.open->forwards[i]) && offer.agent)
			offering_remove_agent(launch.number);
	}
	if (execute_as(&identity, &err) < 0)
		_exit(127);
	for (size_t i = 0; launch.open->forwards[i]; i++) {
		if (offer_parse(&offer, launch.open->forwards[i]) && offer.by_guest && !offer.agent &&
		    socket_remove_stale(offer.path) < 0)
			log_debug("session %u: %s stays", launch.number, offer.path);
	}
	_exit(0);
}

void forwarding_free(struct forwarding *forwarding)
{
	pid_t pid;

	if (!forwarding)
		return;
	while (forwarding->attempts)
		attempt_free(forwarding->attempts);
	forwards_free(forwarding->forwards);
	/* Without an init its mounts are gone, or about to be. */
	if (forwarding->made && *forwarding->options.init_pidfd >= 0) {
		pid = process_fork_into(*forwarding->options.init_pidfd);
		if (pid == 0)
			remove_in_child(launch_of(forwarding, -1));
	}
	free(forwarding->user);
	text_list_clear(&forwarding->offers);
	free(forwarding);
}

void forwarding_listen(struct forwarding *forwarding, uint32_t forward, int fd)
{
	forwarding->made = true;
	if (!forwards_listen(forwarding->forwards, forward, fd))
		log_info("session %u: a socket that is none of its forwards", forwarding->options.number);
}

void forwarding_run(struct forwarding *forwarding)
{
	if (forwards_run(forwarding->forwards) < 0)
		log_info("session %u: its sockets cannot be watched", forwarding->options.number);
}

bool forwarding_handle(struct forwarding *forwarding, const struct message *message)
{
	return forwards_handle(forwarding->forwards, message);
}

void forwarding_resume(struct forwarding *forwarding)
{
	forwards_resume(forwarding->forwards);
}

void forwarding_finish(struct forwarding *forwarding)
{
	forwards_finish(forwarding->forwards);
}

bool forwarding_is_busy(const struct forwarding *forwarding)
{
	return !forwards_are_sent(forwarding->forwards);
}
