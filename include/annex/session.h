#ifndef ANNEX_SESSION_H
#define ANNEX_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include <annex/machine.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Sessions: programs that run in a machine, with their standard streams here. A session ends with its program; when the
 * last reference or this process goes, the program gets SIGHUP. The login environment says of the terminal, the
 * language and the time zone what this process has in TERM, COLORTERM, LANG, LC_… and TZ, as far as the machine can do
 * it.
 */
struct annex_session;

struct annex_session_options {
	size_t size;
	const char *const *argv;        /* verbatim, NULL-terminated; NULL: the user's login shell */
	const char *shell_command;      /* instead of argv: given to the login shell with -c */
	const char *const *environment; /* "K=V", NULL-terminated, on top of the login environment; NULL: none */
	const char *user;               /* NAME, UID, NAME:GROUP or UID:GID; NULL: the host's user */
	const char *folder;             /* working directory; NULL: where the machine has the caller's, else the home */
	int terminal;                   /* allocate one; standard error is then part of standard output */
	unsigned rows, columns;         /* of the terminal */
	int detach;                     /* no streams; goes on without us */
	int input_fd;                   /* read for its standard input; -1: none, it sees the end at once */
	int output_fd;                  /* written with its standard output; -1: dropped */
	int error_fd;
	/* The SSH agent of this process ($SSH_AUTH_SOCK), for as long as the session lives: 1 yes, 0 no, -1 as the
	 * machine's setting "ssh-agent" says. Without an agent here, and where `environment` has SSH_AUTH_SOCK, there
	 * is none. */
	int ssh_agent;
	/* "HOST:GUEST", NULL-terminated; NULL: none. Unix stream sockets: of forward_sockets GUEST is made in the
	 * machine, and who connects to it reaches HOST; of publish_sockets HOST is made here, and who connects to it
	 * reaches GUEST. This process connects and listens, with its own rights and those of the session's user.
	 * HOST may be relative or begin with "~"; GUEST is absolute. Gone with the session. */
	const char *const *forward_sockets;
	const char *const *publish_sockets;
};
#define ANNEX_SESSION_OPTIONS_INIT                                                                                   \
	{                                                                                                            \
		sizeof(struct annex_session_options), NULL, NULL, NULL, NULL, NULL, 0, 24, 80, 0, 0, 1, 2, -1, NULL, \
			NULL                                                                                         \
	}

/*
 * Start a program in a machine that runs (BUSY otherwise). Descriptors stay the caller's and must outlive the session.
 * Errors: NOT_FOUND with errno ENOENT (no such program), SYSTEM with EACCES or ENOEXEC (not executable), USAGE (user,
 * folder, sockets), EXISTS (something is where a socket is to be made).
 */
int annex_session_open(struct annex_session **ret, struct annex_machine *machine,
		       const struct annex_session_options *options, struct annex_error **err);
void annex_session_unref(struct annex_session *session);

/* The id in the machine's list, owned by the session. */
const char *annex_session_id(const struct annex_session *session);

/* A descriptor to poll for reading, and what to call then: moves data without blocking on the machine (a blocked
 * output_fd does not stall other sessions; it is waited for by poll). *ret_ended becomes non-zero when all output is
 * written. */
int annex_session_fd(const struct annex_session *session);
int annex_session_dispatch(struct annex_session *session, int *ret_ended, struct annex_error **err);
/* Poll and dispatch until it ends. Blocks. */
int annex_session_wait(struct annex_session *session, struct annex_error **err);
/* After the end: the exit status, or 128 + N when signal N killed it. */
int annex_session_status(const struct annex_session *session);

/* Of a session that is ours. */
int annex_session_signal(struct annex_session *session, int signal, struct annex_error **err);
int annex_session_resize(struct annex_session *session, unsigned rows, unsigned columns, struct annex_error **err);

enum annex_session_state {
	ANNEX_SESSION_RUNNING = 1,
	ANNEX_SESSION_EXITED,
	ANNEX_SESSION_LOST /* it has ended, and nobody knows how: the machine was ended by force, or its supervisor
			      killed */
};
/* "running", "exited", "lost". */
const char *annex_session_state_name(enum annex_session_state state);

/* A session as others see it. `command` and `user` are printable; long ones are cut. */
struct annex_session_info {
	const char *id; /* 12 hexadecimal digits, unique for the machine's life */
	const char *user;
	const char *command; /* its arguments with spaces between them */
	int64_t started;     /* seconds since 1970 */
	int64_t ended;       /* 0: it runs, or nobody knows */
	int status;          /* of one that has exited, as annex_session_status() */
	enum annex_session_state state;
	int terminal;
	int detached;
};
/*
 * The sessions of a machine, in the order of their start: those of all clients that run; with `ended` not 0 also the
 * detached ones that have ended and are still kept, which a machine that is stopped has too. Free with
 * annex_session_list_free().
 */
int annex_session_list(struct annex_session_info **ret, size_t *ret_count, struct annex_machine *machine, int ended,
		       struct annex_error **err);
void annex_session_list_free(struct annex_session_info *list, size_t count);

/* The whole id of the one session whose id begins with `prefix`; the caller frees *ret. NOT_FOUND; USAGE when there are
 * several. */
int annex_session_find(char **ret, struct annex_machine *machine, const char *prefix, struct annex_error **err);
/*
 * Signal all processes of a session, whoever's it is. signal 0: what ends it, SIGHUP where it has a terminal, else
 * SIGTERM. Does not wait for its end. `id` may be a prefix. NOT_FOUND; BUSY: it has ended already.
 */
int annex_session_kill(struct annex_machine *machine, const char *id, int signal, struct annex_error **err);
/*
 * Write what a detached session has written, while it runs and when it has ended, whether the machine runs or not, to
 * options->output_fd and error_fd. With `follow` until it has ended. `id` may be a prefix. NOT_FOUND; USAGE: it is not
 * detached, its client has its output.
 */
int annex_session_logs(struct annex_machine *machine, const char *id, const struct annex_log_options *options,
		       struct annex_error **err);

#ifdef __cplusplus
}
#endif

#endif
