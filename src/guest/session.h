#pragma once
#include "guest/flow.h"
#include "guest/sessions.h"
#include "guest/utmp.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One session, and what it knows of the others: shared by session.c and sessions.c only. */
enum { SESSIONS_SLOTS = 1024 };

struct session {
	struct sessions *all;
	struct session *next; /* in its slot */
	uint16_t stream;      /* 0: the host that opened it is gone, and nothing is told of it */
	unsigned number;
	unsigned init; /* which one it was born under */
	uint32_t flags;
	pid_t leader; /* its first process */
	pid_t pid;    /* the same, or 0: it has ended */
	int status;
	bool opened, hung_up;
	struct loop_source *child, *grace;
	struct loop_source *doubt; /* it was killed, and init may be about to end */
	bool asked;                /* by us to end at once */
	int report;
	struct loop_source *report_source;
	struct annex_error *failure;
	struct output outputs[2];
	struct input input;
	struct forwarding *forwarding; /* NULL: it has none, or no more */
	unsigned graces;               /* that went by since its program ended */
	int terminal; /* the other side's descriptor, or -1; those of output and input are duplicates */
	uint32_t rows, columns;
	struct utmp_mark record;
	int logind; /* open while the session is in its list, or -1 */
};

struct sessions {
	struct loop *loop;
	struct link *link;
	int init_pidfd;
	unsigned inits; /* how many there were */
	const struct message_config *config;
	unsigned last_number;
	size_t count;
	void (*on_empty)(void *data);
	void *data;
	struct session *slots[SESSIONS_SLOTS]; /* by stream */
};

/* Starts it, or not: BUSY. */
MUST_USE int session_open(struct sessions *sessions, uint16_t stream, const struct message_open *open,
			  struct annex_error **err);
void session_free(struct session *session);
void session_hang_up(struct session *session);
/* Tell the end, if it has come; the session is gone then. */
void session_check_end(struct session *session);

/* What keeps it from its end. */
void session_close_report(struct session *session);
void session_end_outputs(struct session *session);
void session_close_forwarding(struct session *session);

/* sessions.c: it is found by its stream from now on, or no more. */
void sessions_add(struct sessions *sessions, struct session *session);
void sessions_remove(struct session *session);
