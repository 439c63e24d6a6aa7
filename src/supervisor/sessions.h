#pragma once
#include "supervisor/supervisor.h"

/*
 * The machine's sessions as people see them: who runs what since when, by which id; and what is kept of detached ones.
 * A session is known by its stream on the guest's link, as in the relay, which judges what is sent; here it is only
 * looked at. Nothing here fails for the machine: what can't be kept is dropped.
 *
 * Of detached sessions that have ended the newest are kept, as many as all limits allow. All that is kept of output, of
 * those that run too, has at most about SESSIONS_OUTPUT_MAX: the oldest goes first, of ended sessions as a whole, then
 * of those that run. The more run, the smaller are the pieces.
 */
#define SESSIONS_KEPT_MAX   64u         /* that have ended */
#define SESSIONS_OUTPUT_MAX (64u << 20) /* bytes of all */
#define SESSION_PIECE_MAX   (256u << 10)
#define SESSION_PIECE_MIN   (SESSIONS_OUTPUT_MAX / 2 / 1024)
#define SESSION_PIECES      16u /* of one session */

struct sessions;

/* Loads what is kept; sessions of a supervisor that was killed are lost. -errno. */
MUST_USE int sessions_new(struct sessions **ret, struct supervisor *supervisor);
void sessions_free(struct sessions *sessions);
/* Whose sessions are that say no user. */
void sessions_set_user(struct sessions *sessions, const char *name);

/* An OPEN: look at it; and when it was passed on, it has begun. -ENOMEM. */
MUST_USE int sessions_prepare(struct sessions *sessions, const struct message *message);
void sessions_begin(struct sessions *sessions, uint16_t guest);
/* The guest has started it: gives its id, which is its as long as it runs. */
const char *sessions_opened(struct sessions *sessions, uint16_t guest);
/* OUTPUT or ERRORS of a detached one. */
void sessions_keep(struct sessions *sessions, uint16_t guest, const struct message *message);
/* By EXIT or FAILURE. */
void sessions_ended(struct sessions *sessions, uint16_t guest, const struct message *message);
/* The guest is gone, and with it all that runs. */
void sessions_lose(struct sessions *sessions);

/* JSON of all that run, and of those whose end is not on disk yet, as struct message_sessions has it. -ENOMEM. */
MUST_USE int sessions_list(struct text_list *ret, const struct sessions *sessions);
/* NOT_FOUND; BUSY: it has ended; USAGE: there is no such signal. */
MUST_USE int sessions_kill(const struct sessions *sessions, const struct message_kill *asked, struct annex_error **err);
