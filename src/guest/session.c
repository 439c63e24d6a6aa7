/*
 * A session is a process in the machine's namespaces with one input and up to two outputs (flow.c). A terminal is an
 * input and one output, on two descriptors of its other side.
 *
 * Life: OPEN forks; the child reports an error, or executes the program, which closes its end of the report socket
 * (OPENED); output flows; the child ends; the outputs end; EXIT. Where the machine's init ends, the kernel has killed
 * all sessions, and they end the same way.
 *
 * A detached session is nobody's terminal or pipe, and has no input. It ends when, besides, nobody holds its outputs
 * open any more: a service that it has started has where to write.
 */
#include "guest/session.h"

#include "base/log.h"
#include "guest/cgroup.h"
#include "guest/flow.h"
#include "guest/forwarding.h"
#include "guest/launch.h"
#include "guest/offering.h"
#include "guest/process.h"
#include "guest/report.h"
#include "guest/terminal.h"
#include "guest/utmp.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { GRACES_MAX = 40, DOUBT_MS = 5000 };

void session_close_report(struct session *session)
{
	loop_source_free(session->report_source);
	session->report_source = NULL;
	cleanup_close(&session->report);
	session->report = -1;
}

/* Nobody is logged in by it any more. */
static void leave_lists(struct session *session)
{
	utmp_logout(&session->record);
	cleanup_close(&session->logind);
	session->logind = -1;
}

void session_free(struct session *session)
{
	sessions_remove(session);
	for (size_t i = 0; i < COUNT_OF(session->outputs); i++)
		output_end(&session->outputs[i], false);
	loop_source_free(session->input.source);
	cleanup_close(&session->input.fd);
	text_clear(&session->input.queue);
	forwarding_free(session->forwarding);
	session_close_report(session);
	cleanup_close(&session->terminal);
	leave_lists(session);
	loop_source_free(session->grace);
	loop_source_free(session->doubt);
	loop_source_free(session->child);
	annex_error_free(session->failure);
	free(session);
}

static void send(struct session *session, enum message_kind kind, const void *body)
{
	if (session->stream != 0)
		link_send(session->all->link, kind, session->stream, body);
}

/* The kernel kills all that is left when an init ends, which may be told to us only later. */
static bool died_with_init(const struct session *session)
{
	const struct sessions *all = session->all;

	return WIFSIGNALED(session->status) && WTERMSIG(session->status) == SIGKILL &&
	       (session->init != all->inits || all->init_pidfd < 0 || process_is_ending(all->init_pidfd));
}

static void tell_end(struct session *session)
{
	struct message_exit message = {0};

	if (session->stream == 0)
		return;
	if (!session->failure && died_with_init(session)) {
		fail(&session->failure, ANNEX_ERROR_GUEST,
		     "the machine was stopped or restarted, and the command with it");
		fail_hint(&session->failure, "run it again; that waits for the machine to be up");
	}
	if (!session->opened && !session->failure)
		fail(&session->failure, ANNEX_ERROR_GUEST, "the session was ended before it began");
	if (session->failure) {
		link_send_error(session->all->link, session->stream, session->failure);
		return;
	}
	if (WIFSIGNALED(session->status))
		message.signal = (uint32_t)WTERMSIG(session->status);
	else
		message.status = (uint32_t)WEXITSTATUS(session->status);
	send(session, MESSAGE_EXIT, &message);
}

/* Inits kill what is left a moment before they end. It is told as the end of the machine if that comes soon. */
static bool is_in_doubt(const struct session *session)
{
	return session->doubt && session->stream != 0 && !died_with_init(session);
}

static void on_doubt(struct loop_source *source, void *data)
{
	struct session *session = data;

	(void)source;
	loop_source_free(session->doubt);
	session->doubt = NULL;
	session_check_end(session);
}

void session_check_end(struct session *session)
{
	struct sessions *all = session->all;

	if (session->pid > 0 || is_in_doubt(session) || session->report >= 0 || output_is_open(&session->outputs[0]) ||
	    output_is_open(&session->outputs[1]) ||
	    (session->forwarding && session->opened && forwarding_is_busy(session->forwarding)))
		return;
	tell_end(session);
	session_free(session);
	cgroup_sweep();
	if (all->count == 0)
		all->on_empty(all->data);
}

void session_end_outputs(struct session *session)
{
	for (size_t i = 0; i < COUNT_OF(session->outputs); i++)
		output_end(&session->outputs[i], session->opened && !session->hung_up && session->stream != 0);
}

static void on_output_changed(void *data)
{
	struct session *session = data;

	if (session->grace)
		loop_timer_restart(session->grace, SESSION_GRACE_MS);
	session_check_end(session);
}

static void on_forwarding_moved(void *data)
{
	struct session *session = data;

	if (session->pid == 0)
		session_check_end(session);
}

void session_close_forwarding(struct session *session)
{
	struct forwarding *forwarding = session->forwarding;

	session->forwarding = NULL;
	forwarding_free(forwarding);
}

static void on_grace(struct loop_source *source, void *data)
{
	struct session *session = data;

	if (output_is_stalled(&session->outputs[0]) || output_is_stalled(&session->outputs[1])) {
		loop_timer_restart(source, SESSION_GRACE_MS); /* by the reader; it is waited for */
		return;
	}
	session_end_outputs(session);
	if (++session->graces < GRACES_MAX)
		loop_timer_restart(source, SESSION_GRACE_MS);
	else
		session_close_forwarding(session);
	session_check_end(session);
}

/* The other side of the terminal, when the child has sent it. */
static void take_terminal(struct session *session, int fd)
{
	int output = fcntl(fd, F_DUPFD_CLOEXEC, 3), input = fcntl(fd, F_DUPFD_CLOEXEC, 3), result = 0;

	if (session->hung_up || session->terminal >= 0 || output < 0 || input < 0) {
		cleanup_close(&output);
		cleanup_close(&input);
		close(fd);
		return;
	}
	session->terminal = session->input.terminal = fd;
	terminal_resize(fd, session->rows, session->columns);
	result = output_open(&session->outputs[0], session->all->loop, output);
	if (result == 0)
		result = input_open(&session->input, session->all->loop, input);
	else
		close(input);
	if (result < 0)
		log_info("session %u: %s", session->number, strerror(-result));
}

/* Beginning and end. */

static void opened(struct session *session)
{
	char id[16];

	snprintf(id, sizeof(id), "%u", session->number);
	session->opened = true;
	send(session, MESSAGE_OPENED, &(struct message_opened){.id = id});
	for (size_t i = 0; i < COUNT_OF(session->outputs); i++)
		output_run(&session->outputs[i]);
	if (session->forwarding)
		forwarding_run(session->forwarding);
	if (session->forwarding && session->pid == 0)
		forwarding_finish(session->forwarding);
}

static void take_descriptor(struct session *session, uint32_t tag, int fd)
{
	if (tag == LAUNCH_TERMINAL)
		take_terminal(session, fd);
	else if (tag == LAUNCH_RECORD)
		utmp_mark(&session->record, fd);
	else if (tag == LAUNCH_LOGIND && session->logind < 0)
		session->logind = fd;
	else if (session->forwarding)
		forwarding_listen(session->forwarding, tag - OFFERING_TAG, fd);
	else
		close(fd);
}

/* All that has come; true when the report is complete. */
static bool take_reports(struct session *session)
{
	struct report report;
	int fd = -1;

	for (;;) {
		switch (report_receive(&report, &fd, session->report)) {
		case REPORT_NOTHING:
			return false;
		case REPORT_FD:
			take_descriptor(session, report.kind, fd);
			break;
		case REPORT_ERROR:
			report_to_error(&report, &session->failure);
			session_end_outputs(session);
			return true;
		case REPORT_END:
			opened(session);
			return true;
		}
	}
}

static void on_report(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct session *session = data;

	(void)source;
	(void)fd;
	(void)events;
	if (!take_reports(session))
		return;
	session_close_report(session);
	session_check_end(session);
}

static void on_child(struct loop_source *source, pid_t pid, int status, void *data)
{
	struct session *session = data;

	(void)source;
	(void)pid;
	session->pid = 0;
	session->status = status;
	leave_lists(session);
	input_close(&session->input);
	if (session->forwarding && session->opened)
		forwarding_finish(session->forwarding);
	/* The end of the report may come later in this turn, and its terminal with it. */
	if (!session->grace && !(session->flags & OPEN_DETACH) &&
	    loop_add_timer(&session->grace, session->all->loop, SESSION_GRACE_MS, on_grace, session) < 0)
		log_info("session %u: out of memory", session->number);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !session->asked && !(session->flags & OPEN_DETACH) &&
	    loop_add_timer(&session->doubt, session->all->loop, DOUBT_MS, on_doubt, session) < 0)
		session->doubt = NULL;
	session_check_end(session);
}

void session_hang_up(struct session *session)
{
	if (session->hung_up || session->flags & OPEN_DETACH)
		return;
	session->hung_up = true;
	input_close(&session->input);
	session_close_forwarding(session);
	/* The last close of a terminal's other side hangs up all that is on it. Without a terminal we say so, and what
	 * is still written goes to nobody: a broken pipe would end a program before it could do what it does on SIGHUP.
	 */
	for (size_t i = 0; i < COUNT_OF(session->outputs); i++) {
		if (session->terminal >= 0)
			output_end(&session->outputs[i], false);
		else
			output_discard(&session->outputs[i]);
	}
	cleanup_close(&session->terminal);
	session->terminal = session->input.terminal = -1;
	if (session->pid > 0) {
		if (kill(-session->pid, SIGHUP) < 0)
			kill(session->pid, SIGHUP);
		kill(-session->pid, SIGCONT);
	}
	session_check_end(session);
}

/* Opening. */

struct pipes {
	int ours[3], theirs[3];
};

static void pipes_clear(struct pipes *pipes)
{
	for (size_t i = 0; i < COUNT_OF(pipes->ours); i++) {
		cleanup_close(&pipes->ours[i]);
		cleanup_close(&pipes->theirs[i]);
	}
}

static int make_pipes(struct pipes *pipes, uint32_t flags)
{
	if (flags & OPEN_TERMINAL)
		return 0;
	for (int i = 0; i < 3; i++) {
		int pair[2];

		if (i == 0 && flags & (OPEN_NO_INPUT | OPEN_DETACH))
			continue;
		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		pipes->ours[i] = pair[i == 0];
		pipes->theirs[i] = pair[i != 0];
		if (fcntl(pipes->ours[i], F_SETFL, O_NONBLOCK) < 0)
			return -errno;
	}
	return 0;
}

static int watch_pipes(struct session *session, struct pipes *pipes)
{
	struct loop *loop = session->all->loop;
	int result = 0;

	for (int i = 0; i < 2 && result == 0; i++) {
		if (pipes->ours[i + 1] >= 0)
			result = output_open(&session->outputs[i], loop, TAKE_FD(pipes->ours[i + 1]));
	}
	if (pipes->ours[0] >= 0 && result == 0)
		result = input_open(&session->input, loop, TAKE_FD(pipes->ours[0]));
	return result;
}

static int start(struct session *session, const struct message_open *open, struct pipes *pipes)
{
	struct sessions *all = session->all;
	int pair[2], result = report_pair(pair);
	pid_t pid;

	if (result < 0)
		return result;
	session->report = pair[0];
	pid = process_fork_into(all->init_pidfd);
	if (pid == 0)
		launch(&(struct launch){.open = open,
					.config = all->config,
					.init_pidfd = all->init_pidfd,
					.number = session->number,
					.report = pair[1],
					.in = pipes->theirs[0],
					.out = pipes->theirs[1],
					.errors = pipes->theirs[2]});
	cleanup_close(&pair[1]);
	if (pid < 0)
		return pid;
	session->pid = session->leader = pid;
	result = loop_add_child(&session->child, all->loop, pid, on_child, session);
	if (result == 0)
		result = loop_add_fd(&session->report_source, all->loop, session->report, EPOLLIN, on_report, session);
	if (result == 0)
		result = watch_pipes(session, pipes);
	if (result < 0)
		kill(pid, SIGKILL);
	return result;
}

static struct session *session_new(struct sessions *sessions, uint16_t stream, const struct message_open *open)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	*session = (struct session){.all = sessions,
				    .stream = stream,
				    .number = ++sessions->last_number,
				    .init = sessions->inits,
				    .flags = open->flags,
				    .report = -1,
				    .terminal = -1,
				    .rows = open->rows,
				    .columns = open->columns,
				    .record = {.fd = -1},
				    .logind = -1};
	for (size_t i = 0; i < COUNT_OF(session->outputs); i++)
		session->outputs[i] = (struct output){.link = sessions->link,
						      .kind = i == 0 ? MESSAGE_OUTPUT : MESSAGE_ERRORS,
						      .stream = stream,
						      .fd = -1,
						      .credit = WIRE_WINDOW,
						      .changed = on_output_changed,
						      .data = session};
	session->input = (struct input){.link = sessions->link,
					.stream = stream,
					.fd = -1,
					.terminal = -1,
					.awaited = open->flags & OPEN_TERMINAL,
					.ended = open->flags & (OPEN_NO_INPUT | OPEN_DETACH)};
	sessions_add(sessions, session);
	return session;
}

static int make_forwarding(struct session *session, const struct message_open *open)
{
	struct sessions *all = session->all;

	return forwarding_new(&session->forwarding, open,
			      &(struct forwarding_options){.loop = all->loop,
							   .link = all->link,
							   .stream = session->stream,
							   .number = session->number,
							   .init_pidfd = &all->init_pidfd,
							   .config = &all->config,
							   .moved = on_forwarding_moved,
							   .data = session});
}

int session_open(struct sessions *sessions, uint16_t stream, const struct message_open *open, struct annex_error **err)
{
	CLEANUP(pipes_clear) struct pipes pipes = {{-1, -1, -1}, {-1, -1, -1}};
	struct session *session;
	int result;

	if (sessions->init_pidfd < 0)
		return fail(err, ANNEX_ERROR_BUSY, "the machine's init is not running");
	if (sessions->count >= SESSIONS_MAX)
		return fail(err, ANNEX_ERROR_BUSY, "the machine has %u sessions, which is the most it can have",
			    SESSIONS_MAX);
	session = session_new(sessions, stream, open);
	if (!session)
		return fail_memory(err);
	result = make_forwarding(session, open);
	if (result == 0)
		result = make_pipes(&pipes, open->flags);
	if (result == 0)
		result = start(session, open, &pipes);
	if (result == 0)
		return 0;
	session_free(session);
	return fail_os(err, result, "cannot start a session");
}
