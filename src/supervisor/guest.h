#pragma once
#include "supervisor/supervisor.h"

/* The link to the guest's agent, over the control port. Any of these may find that the link is gone: then they do
 * nothing. */

/* Clients that write to the guest wait while this much waits for it. */
#define GUEST_QUEUE_HIGH  (1u << 20)
#define GUEST_FAILURE_MAX 1024u /* bytes kept of a failure's message, and of its hint, as the guest tells them */

/* Takes the descriptor. */
MUST_USE int guest_new(struct guest **ret, struct supervisor *supervisor, int fd, struct annex_error **err);
void guest_free(struct guest *guest);

/* The agent has said HELLO. NULL: no. */
bool guest_is_up(const struct guest *guest);
bool guest_is_congested(const struct guest *guest);
/* To the host's time, or bit by bit by so much. */
void guest_set_clock(struct guest *guest);
void guest_slew_clock(struct guest *guest, int64_t by_ns);
/* Ask for MEASURED, unless it was asked for already; usage_on_measured() and clock_on_measured() get it. False: no
 * answer can come. */
bool guest_measure(struct guest *guest);
void guest_shutdown(struct guest *guest, uint64_t timeout_ms);

/* What the guest says of a failure, cut short. */
void guest_failure(struct annex_error **err, unsigned kind, uint32_t os, const char *message, const char *hint);

/* Show a share ("NAME FLAGS TARGET"), or no longer; shares_on_bound() gets the answer. */
void guest_bind(struct guest *guest, const char *share);
void guest_unbind(struct guest *guest, const char *target, bool force);

/* Change the virtual machine; resources_on_adjusted() gets the answer. */
void guest_adjust(struct guest *guest, enum message_adjustment what, uint64_t value);

/* Pass a session's message on. */
/* The ports' link begins anew. */
void guest_mark(struct guest *guest, const uint8_t marker[WIRE_MARKER]);
/* The host's search domains are others now; NULL: none. */
void guest_names(struct guest *guest, const char *const *search);
void guest_forward(struct guest *guest, enum message_kind kind, uint16_t stream, const void *payload, size_t size);
/* To all of a session's processes. */
void guest_signal(struct guest *guest, uint16_t stream, uint32_t number);
void guest_hang_up(struct guest *guest, uint16_t stream);
void guest_credit(struct guest *guest, uint16_t stream, enum message_kind flow, uint32_t bytes);
