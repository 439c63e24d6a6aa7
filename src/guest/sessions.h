#pragma once
#include "guest/link.h"

#include <stddef.h>

/*
 * What OPEN starts. A session ends with its first process: what that wrote is sent, then EXIT. Processes that it leaves
 * behind go on; if they hold its output open, what they write counts as long as no SESSION_GRACE_MS pass without any,
 * then the pipe is closed: neither is the output of a pipeline's last process lost, nor does a service that a session
 * started keep it from ending. A detached one ends when nothing holds its output open any more.
 */
#define SESSIONS_MAX     1024u
#define SESSION_GRACE_MS 250u

struct sessions;

/* on_empty() is told each time the last session has ended. -errno. */
MUST_USE int sessions_new(struct sessions **ret, struct loop *loop, struct link *link, void (*on_empty)(void *data),
			  void *data);
void sessions_free(struct sessions *sessions);

/* The machine whose namespaces sessions are opened in; the init's pidfd (-1: there is none now) and the configuration
 * stay the caller's. */
void sessions_set_machine(struct sessions *sessions, int init_pidfd, const struct message_config *config);

/* Handle a message to a session; true when its kind is one of those. */
bool sessions_handle(struct sessions *sessions, const struct message *message);
void sessions_resume(struct sessions *sessions); /* the link has room */
/* The host is gone: as if HANGUP had come for all, and nothing more is told of any; their streams are free. */
void sessions_abandon(struct sessions *sessions);
/* All processes are gone: stop waiting for readers, drop what they did not take, and send each EXIT. */
void sessions_finish(struct sessions *sessions);
size_t sessions_count(const struct sessions *sessions);
bool sessions_has_child(const struct sessions *sessions, pid_t pid);
