/*
 * It tells nobody that it is ready: what comes early waits in the socket. When it can't run (the host has no interface
 * with a default route, or doesn't let it confine itself) it says so on standard error and ends at once; what it says
 * then is the reason, and all else that it says is for debugging.
 *
 * As root it becomes "nobody", which takes the signal away that a child of ours gets when we die: it ends then because
 * annex-network does, which holds the other end of its connection.
 */
#include "supervisor/carrier.h"

#include "base/log.h"
#include "base/spawn.h"
#include "base/text.h"
#include "base/time.h"
#include "forward/socket.h"
#include "machine/passt.h"
#include "network/address.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
	CONNECTION_FD = 3,
	TRIAL_MS = 2000, /* who ends by itself within this time can't run */
	SAID_MAX = 8192, /* bytes kept */
};

struct carrier {
	carrier_ended_fn *fn;
	void *data;
	pid_t pid;
	int process;
	uint64_t since;
	struct loop_source *child, *on_errors;
	int errors;
	struct text said;
};

/* Of what it said: the last lines that are reasons, "No external routable interface for IPv4". */
static void find_reason(struct text *ret, const char *said)
{
	auto_free char *copy = strdup(said ? said : "");
	char *left = copy, *line;
	const char *last = "";

	while (left && (line = strsep(&left, "\n"))) {
		if (*line && *line != ' ' && !text_starts(line, "Failed to send ") &&
		    !text_starts(line, "Don't run as root"))
			last = line;
	}
	text_add_clean(ret, last, 200);
}

static void describe_end(struct annex_error **err, const struct carrier *carrier, int status)
{
	auto_text struct text reason = {0};

	find_reason(&reason, carrier->said.data);
	if (status != -1 && WIFSIGNALED(status))
		fail(err, ANNEX_ERROR_SYSTEM, "passt was killed by signal %d (%s)", WTERMSIG(status),
		     strsignal(WTERMSIG(status)));
	else if (text_ok(&reason) && reason.size > 0)
		fail(err, ANNEX_ERROR_SYSTEM, "passt ended: %s", reason.data);
	else
		fail(err, ANNEX_ERROR_SYSTEM, "passt ended with status %d", status == -1 ? 0 : WEXITSTATUS(status));
}

/* False: there is no more for now. */
static bool hear(struct carrier *carrier)
{
	char bytes[4096];
	ssize_t n = read(carrier->errors, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		loop_source_watch(carrier->on_errors, 0);
	if (n <= 0)
		return false;
	if (carrier->said.size > SAID_MAX)
		text_clear(&carrier->said);
	text_add_bytes(&carrier->said, bytes, (size_t)n);
	return true;
}

static void on_errors(struct loop_source *source, int fd, uint32_t events, void *data)
{
	(void)source, (void)fd, (void)events;
	(void)hear(data);
}

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct carrier *carrier = data;
	auto_error struct annex_error *err = NULL;
	bool by_itself = status != -1 && WIFEXITED(status);
	bool early = time_monotonic_ms() - carrier->since < time_scaled_ms(TRIAL_MS, 1);

	(void)source, (void)pid;
	carrier->pid = 0;
	while (hear(carrier))
		;
	describe_end(&err, carrier, status);
	carrier->fn(err, !(by_itself && early && WEXITSTATUS(status) != 0), carrier->data);
}

struct ends {
	int connection, errors;
};

static void close_ends(struct ends *ends)
{
	cleanup_close(&ends->connection);
	cleanup_close(&ends->errors);
}

static int open_ends(struct carrier *carrier, int *ret_fd, struct ends *ends, struct annex_error **err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_os(err, errno, "cannot make a socket");
	/* passt does so itself with a socket that it makes; without, it loses frames, and waits a second for each loss.
	 */
	socket_enlarge(pair[0]);
	socket_enlarge(pair[1]);
	*ret_fd = pair[0];
	ends->connection = pair[1];
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return fail_os(err, errno, "cannot make a pipe");
	carrier->errors = pair[0];
	ends->errors = pair[1];
	return 0;
}

/* The machine is configured by its agent: nothing of what passt would tell it is wanted. Nothing listens on the host.
 */
static int run(struct carrier *carrier, const char *program, uint32_t place, const struct ends *ends,
	       struct annex_error **err)
{
	char address[ADDRESS_TEXT], address6[ADDRESS_TEXT], gateway[ADDRESS_TEXT], gateway6[ADDRESS_TEXT];
	char prefix[16], mtu[16], path[4200];
	const char *search = getenv("PATH");
	const struct spawn_fd fds[] = {{ends->connection, CONNECTION_FD}, {ends->errors, STDERR_FILENO}};
	const char *argv[] = {program,       "--foreground",
			      "--fd",        "3",
			      "--address",   place_guest_text(address, place),
			      "--netmask",   prefix,
			      "--gateway",   place_guest_text(gateway, PLACE_GATEWAY),
			      "--address",   place_guest6_text(address6, place),
			      "--gateway",   place_guest6_text(gateway6, PLACE_GATEWAY),
			      "--no-dhcp",   "--no-ndp",
			      "--no-ra",     "--no-dhcpv6",
			      "--mtu",       mtu,
			      "--tcp-ports", "none",
			      "--udp-ports", "none",
			      NULL};
	const struct spawn_options options = {
		.argv = argv,
		.environment = (const char *const[]){"LC_ALL=C", path, NULL},
		.folder = "/",
		.fds = fds,
		.fd_count = COUNT_OF(fds),
		.new_session = true,
		.parent_death_signal = SIGKILL,
	};

	snprintf(prefix, sizeof(prefix), "%u", ADDRESS_PREFIX);
	snprintf(mtu, sizeof(mtu), "%u", ADDRESS_MTU);
	snprintf(path, sizeof(path), "PATH=%s", search ? search : "/usr/bin:/bin");
	return spawn(&carrier->pid, &carrier->process, &options, err);
}

static int watch(struct carrier *carrier, struct loop *loop, struct annex_error **err)
{
	int result = loop_add_fd(&carrier->on_errors, loop, carrier->errors, EPOLLIN, on_errors, carrier);

	if (result == 0)
		result = loop_add_child(&carrier->child, loop, carrier->pid, on_child, carrier);
	return result < 0 ? fail_os(err, result, "cannot watch passt") : 0;
}

static void cleanup_carrier(struct carrier **carrier)
{
	carrier_free(*carrier);
}

int carrier_start(struct carrier **ret, int *ret_fd, struct loop *loop, uint32_t place, carrier_ended_fn *fn,
		  void *data, struct annex_error **err)
{
	CLEANUP(cleanup_carrier) struct carrier *carrier = calloc(1, sizeof(*carrier));
	CLEANUP(close_ends) struct ends ends = {-EBADF, -EBADF};
	auto_free char *program = NULL;
	auto_close int ours = -EBADF;

	if (!carrier)
		return fail_memory(err);
	*carrier = (struct carrier){.fn = fn, .data = data, .process = -EBADF, .errors = -EBADF};
	carrier->since = time_monotonic_ms();
	if (machine_passt_find(&program, err) < 0 || open_ends(carrier, &ours, &ends, err) < 0 ||
	    run(carrier, program, place, &ends, err) < 0 || watch(carrier, loop, err) < 0)
		return -1;
	*ret_fd = TAKE_FD(ours);
	*ret = TAKE(carrier);
	return 0;
}

pid_t carrier_pid(const struct carrier *carrier)
{
	return carrier ? carrier->pid : 0;
}

void carrier_free(struct carrier *carrier)
{
	if (!carrier)
		return;
	loop_source_free(carrier->child);
	loop_source_free(carrier->on_errors);
	if (carrier->pid > 0) {
		syscall(SYS_pidfd_send_signal, carrier->process, SIGKILL, NULL, 0u);
		while (waitpid(carrier->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	cleanup_close(&carrier->process);
	cleanup_close(&carrier->errors);
	text_clear(&carrier->said);
	free(carrier);
}
