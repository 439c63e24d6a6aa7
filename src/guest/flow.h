#pragma once
#include "base/text.h"
#include "guest/link.h"

/*
 * The flows of a session between its program's descriptors and the link, held to their windows (wire/message.h).
 * Nothing here blocks, and nothing holds more than a window.
 */

/* What the program writes. */
struct output {
	struct loop_source *source;
	struct link *link;
	enum message_kind kind;
	uint16_t stream;
	int fd; /* -1: there is none, or it has ended */
	uint32_t credit;
	bool running;
	bool discarded;              /* read, and not sent */
	void (*changed)(void *data); /* something was sent, or the flow has ended; may free the output */
	void *data;
};

/* Takes the descriptor, also on failure. Nothing is read before output_run(). -errno. */
MUST_USE int output_open(struct output *output, struct loop *loop, int fd);
void output_run(struct output *output);
void output_resume(struct output *output);  /* the link may have room */
void output_discard(struct output *output); /* nobody is left who would read it; the program goes on writing */
MUST_USE bool output_credit(struct output *output, uint32_t bytes); /* false: past the window */
bool output_is_open(const struct output *output);
bool output_is_stalled(const struct output *output); /* by its reader or the link */
/* Stop reading; tell the end, if `tell` and there was something. */
void output_end(struct output *output, bool tell);

/* What the program reads. */
struct input {
	struct loop_source *source;
	struct link *link;
	uint16_t stream;
	int fd;       /* -1: closed */
	bool awaited; /* there will be a descriptor: keep what comes until then */
	bool ended;   /* nothing follows */
	int terminal; /* the master whose settings say what the end is typed as, or -1: it is closed. Not ours */
	struct text queue;
	size_t start;
	char last;    /* the last byte that was written */
	uint32_t due; /* written, and not yet given back as credit */
};

MUST_USE int input_open(struct input *input, struct loop *loop, int fd);      /* takes it, also on failure; -errno */
MUST_USE bool input_put(struct input *input, const void *bytes, size_t size); /* false: past the window or the end */
void input_finish(struct input *input);
void input_close(struct input *input); /* what waits, and what still comes, is dropped with its credit given */
