#pragma once
#include "base/error.h"
#include "loop/loop.h"
#include "wire/message.h"

/*
 * The link to the supervisor over the control port. The host's side may go and come back: what was queued for the old
 * one is dropped, and on_connect() is called for the new one.
 */
struct link;

struct link_callbacks {
	void (*on_connect)(void *data);
	void (*on_message)(const struct message *message, void *data);
	void (*on_room)(void *data); /* link_has_room() may have become true */
	void (*on_lost)(void *data);
	void (*on_broken)(void *data); /* what came is not our protocol; the link stays down */
};

#define LINK_ROOM      (256u << 10) /* bytes queued above which sessions must not read more output */
#define LINK_QUEUE_MAX (16u << 20)  /* bytes queued above which the host counts as gone */

/* Takes the descriptor on success. Callbacks come from the loop only. */
MUST_USE int link_new(struct link **ret, struct loop *loop, int fd, const struct link_callbacks *callbacks, void *data);
void link_free(struct link *link);

/* Queue a message; dropped while the host is not connected. */
void link_send(struct link *link, enum message_kind kind, uint16_t stream, const void *body);
void link_send_data(struct link *link, enum message_kind kind, uint16_t stream, const void *bytes, size_t size);
void link_send_error(struct link *link, uint16_t stream, const struct annex_error *err);
bool link_has_room(const struct link *link);
bool link_is_empty(const struct link *link); /* nothing queued, or nobody to take it */
