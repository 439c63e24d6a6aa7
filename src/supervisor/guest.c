/*
 * The guest is not trusted: whatever it sends that the protocol does not allow ends the link and the machine. Messages
 * of the link itself go by a table; all others belong to sessions and are judged by the relay.
 *
 * When the link breaks inside one of its own callbacks it is only shut; supervisor_on_broken_guest() frees it.
 */
#include "supervisor/guest.h"

#include "base/log.h"
#include "base/time.h"
#include "machine/channel.h"
#include "supervisor/clients.h"
#include "supervisor/clock.h"
#include "supervisor/logfile.h"
#include "supervisor/network.h"
#include "supervisor/relay.h"
#include "supervisor/resources.h"
#include "supervisor/sessions.h"
#include "supervisor/shares.h"
#include "supervisor/usage.h"

#include <stdio.h>
#include <string.h>

struct guest {
	struct supervisor *supervisor;
	struct channel *channel;
	bool greeted, measuring;
	int64_t asked_ns; /* when it was asked for MEASURED */
};

/* Handlers return what is wrong with the message, or NULL. */
typedef const char *handler_fn(struct guest *guest, const struct message *message);

static const char *on_hello(struct guest *guest, const struct message *message)
{
	struct supervisor *supervisor = guest->supervisor;
	auto_machine_guest struct machine_guest told = {0};
	auto_error struct annex_error *err = NULL;
	struct message_hello hello;

	if (guest->greeted || message_get(&hello, message->kind, message->payload, message->size) < 0)
		return "HELLO that is malformed or comes twice";
	if (hello.version != WIRE_VERSION)
		return "its agent is of another version";
	if (machine_guest_make(&told, supervisor->record, &supervisor->plan, &err) < 0) {
		log_info("the guest's configuration: %s", annex_error_message(err));
		return "it could not be configured";
	}
	network_fill(supervisor->network, &told.config);
	guest->greeted = supervisor->heard = true;
	sessions_set_user(supervisor->sessions, told.config.user_name);
	channel_put(guest->channel, MESSAGE_HELLO, 0, &(struct message_hello){WIRE_VERSION, "supervisor"});
	channel_put(guest->channel, MESSAGE_CONFIG, 0, &told.config);
	return NULL;
}

static const char *on_waiting(struct guest *guest, const struct message *message)
{
	struct message_waiting waiting;

	if (message_get(&waiting, message->kind, message->payload, message->size) < 0)
		return "WAITING that is malformed";
	supervisor_on_waiting(guest->supervisor, waiting.what);
	return NULL;
}

static const char *on_ready(struct guest *guest, const struct message *message)
{
	struct message_ready ready;

	if (message_get(&ready, message->kind, message->payload, message->size) < 0)
		return "READY that is malformed";
	supervisor_on_ready(guest->supervisor, ready.init);
	return NULL;
}

static const char *on_halted(struct guest *guest, const struct message *message)
{
	struct message_halted halted;

	if (message_get(&halted, message->kind, message->payload, message->size) < 0 ||
	    halted.reason < HALTED_POWER_OFF || halted.reason > HALTED_CRASH)
		return "HALTED that is malformed";
	supervisor_on_halted(guest->supervisor, &halted);
	return NULL;
}

static const char *on_log(struct guest *guest, const struct message *message)
{
	logfile_write(guest->supervisor->boot_log, message->payload, message->size);
	return NULL;
}

static const char *on_failure(struct guest *guest, const struct message *message)
{
	struct message_failure failure;

	if (message_get(&failure, message->kind, message->payload, message->size) < 0)
		return "FAILURE that is malformed";
	supervisor_on_guest_failure(guest->supervisor, &failure);
	return NULL;
}

static const char *on_bound(struct guest *guest, const struct message *message)
{
	struct message_bound bound;

	if (message_get(&bound, message->kind, message->payload, message->size) < 0)
		return "BOUND that is malformed";
	return shares_on_bound(guest->supervisor->shares, &bound) ? NULL : "BOUND that nobody asked for";
}

static const char *on_measured(struct guest *guest, const struct message *message)
{
	struct supervisor *supervisor = guest->supervisor;
	struct message_measured measured;

	if (message_get(&measured, message->kind, message->payload, message->size) < 0)
		return "MEASURED that is malformed";
	if (!guest->measuring)
		return "MEASURED that nobody asked for";
	guest->measuring = false;
	usage_on_measured(supervisor->usage, &measured);
	clock_on_measured(supervisor->clock, &measured, guest->asked_ns, time_realtime_ns());
	return NULL;
}

static const char *on_adjusted(struct guest *guest, const struct message *message)
{
	struct message_adjusted adjusted;

	if (message_get(&adjusted, message->kind, message->payload, message->size) < 0)
		return "ADJUSTED that is malformed";
	return resources_on_adjusted(guest->supervisor->resources, &adjusted) ? NULL : "ADJUSTED that nobody asked for";
}

static const struct {
	enum message_kind kind;
	handler_fn *handle;
} handlers[] = {
	{MESSAGE_HELLO, on_hello},   {MESSAGE_WAITING, on_waiting},   {MESSAGE_READY, on_ready},
	{MESSAGE_HALTED, on_halted}, {MESSAGE_LOG, on_log},           {MESSAGE_FAILURE, on_failure},
	{MESSAGE_BOUND, on_bound},   {MESSAGE_MEASURED, on_measured}, {MESSAGE_ADJUSTED, on_adjusted},
};

static const char *on_session(struct guest *guest, const struct message *message)
{
	struct supervisor *supervisor = guest->supervisor;
	struct relay_route route = {0};

	enum relay_result result = relay_from_guest(supervisor->relay, &route, message);
	const char *id;

	if (result == RELAY_BROKEN || result == RELAY_FULL)
		return "out of place";
	if (result == RELAY_KEEP)
		sessions_keep(supervisor->sessions, route.guest, message);
	if (route.credit > 0)
		guest_credit(guest, route.guest, route.credit_flow, route.credit);
	if (message->kind == MESSAGE_OPENED) {
		id = sessions_opened(supervisor->sessions, route.guest);
		if (result == RELAY_PASS)
			clients_send(supervisor->clients, route.owner, MESSAGE_OPENED, route.stream,
				     &(struct message_opened){id});
		return NULL;
	}
	if (message->kind == MESSAGE_EXIT || message->kind == MESSAGE_FAILURE)
		sessions_ended(supervisor->sessions, route.guest, message);
	if (result == RELAY_PASS)
		clients_forward(supervisor->clients, route.owner, message->kind, route.stream, message->payload,
				message->size);
	return NULL;
}

static const char *handle(struct guest *guest, const struct message *message)
{
	if (!guest->greeted && message->kind != MESSAGE_HELLO)
		return "before HELLO";
	if (message->stream != 0)
		return on_session(guest, message);
	for (size_t i = 0; i < COUNT_OF(handlers); i++) {
		if (handlers[i].kind == message->kind)
			return handlers[i].handle(guest, message);
	}
	return "out of place";
}

static void on_message(struct channel *channel, const struct message *message, void *data)
{
	struct guest *guest = data;
	const char *name = message_name(message->kind), *wrong;
	unsigned kind = message->kind, stream = message->stream;
	char what[160];

	(void)channel;
	wrong = handle(guest, message);
	if (!wrong)
		return;
	if (*name == '?')
		snprintf(what, sizeof(what), "message of unknown kind %u", kind);
	else if (strncmp(wrong, name, strlen(name)) == 0 || strncmp(wrong, "it", 2) == 0)
		snprintf(what, sizeof(what), "%s", wrong);
	else
		snprintf(what, sizeof(what), "%s on stream %u, %s", name, stream, wrong);
	supervisor_on_broken_guest(guest->supervisor, what);
}

static void on_end(struct channel *channel, int os, void *data)
{
	struct guest *guest = data;
	struct supervisor *supervisor = guest->supervisor;

	(void)channel;
	if (os == EPROTO || os == EMSGSIZE) {
		supervisor_on_broken_guest(supervisor, "what is no message");
		return;
	}
	/* QEMU closed it: its end is told by its own event. */
	supervisor->guest = NULL;
	guest_free(guest);
}

static void on_drained(struct channel *channel, void *data)
{
	struct guest *guest = data;

	(void)channel;
	clients_resume(guest->supervisor->clients);
}

static const struct channel_callbacks callbacks = {on_message, on_end, on_drained};

int guest_new(struct guest **ret, struct supervisor *supervisor, int fd, struct annex_error **err)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	auto_close int owned = fd;
	int result;

	if (!guest)
		return fail_memory(err);
	guest->supervisor = supervisor;
	result = channel_new(&guest->channel, supervisor->loop, fd, &callbacks, guest);
	if (result < 0) {
		free(guest);
		return fail_os(err, result, "cannot watch the guest's port");
	}
	owned = -1;
	*ret = guest;
	return 0;
}

void guest_free(struct guest *guest)
{
	if (!guest)
		return;
	channel_free(guest->channel);
	free(guest);
}

bool guest_is_up(const struct guest *guest)
{
	return guest && guest->greeted;
}

bool guest_is_congested(const struct guest *guest)
{
	return guest && channel_queued(guest->channel) > GUEST_QUEUE_HIGH;
}

void guest_set_clock(struct guest *guest)
{
	if (guest_is_up(guest))
		channel_put(guest->channel, MESSAGE_CLOCK, 0,
			    &(struct message_clock){.realtime_ns = time_realtime_ns()});
}

void guest_slew_clock(struct guest *guest, int64_t by_ns)
{
	if (guest_is_up(guest))
		channel_put(guest->channel, MESSAGE_CLOCK, 0, &(struct message_clock){.slew_ns = by_ns});
}

bool guest_measure(struct guest *guest)
{
	if (!guest_is_up(guest))
		return false;
	if (guest->measuring)
		return true;
	guest->measuring = true;
	guest->asked_ns = time_realtime_ns();
	channel_put(guest->channel, MESSAGE_MEASURE, 0, NULL);
	return true;
}

void guest_shutdown(struct guest *guest, uint64_t timeout_ms)
{
	if (guest_is_up(guest))
		channel_put(guest->channel, MESSAGE_SHUTDOWN, 0, &(struct message_shutdown){timeout_ms});
}

void guest_failure(struct annex_error **err, unsigned kind, uint32_t os, const char *message, const char *hint)
{
	auto_free char *short_message = text_clean(message, GUEST_FAILURE_MAX);
	auto_free char *short_hint = text_clean(hint, GUEST_FAILURE_MAX);

	fail_relayed(err, kind, (int)os, short_message ? short_message : "", short_hint);
}

void guest_bind(struct guest *guest, const char *share)
{
	if (guest_is_up(guest))
		channel_put(guest->channel, MESSAGE_BIND, 0, &(struct message_bind){share});
}

void guest_unbind(struct guest *guest, const char *target, bool force)
{
	if (guest_is_up(guest))
		channel_put(guest->channel, MESSAGE_UNBIND, 0, &(struct message_unbind){target, force});
}

void guest_adjust(struct guest *guest, enum message_adjustment what, uint64_t value)
{
	if (guest_is_up(guest))
		channel_put(guest->channel, MESSAGE_ADJUST, 0, &(struct message_adjust){what, value});
}

void guest_mark(struct guest *guest, const uint8_t marker[WIRE_MARKER])
{
	if (guest_is_up(guest))
		channel_put(guest->channel, MESSAGE_MARK, 0, &(struct message_mark){{marker, WIRE_MARKER}});
}

void guest_names(struct guest *guest, const char *const *search)
{
	if (guest_is_up(guest))
		channel_put(guest->channel, MESSAGE_NAMES, 0, &(struct message_names){search});
}

void guest_forward(struct guest *guest, enum message_kind kind, uint16_t stream, const void *payload, size_t size)
{
	if (guest)
		channel_forward(guest->channel, kind, stream, payload, size);
}

void guest_signal(struct guest *guest, uint16_t stream, uint32_t number)
{
	if (guest)
		channel_put(guest->channel, MESSAGE_SIGNAL, stream,
			    &(struct message_signal){.number = number, .all = true});
}

void guest_hang_up(struct guest *guest, uint16_t stream)
{
	if (guest)
		channel_put(guest->channel, MESSAGE_HANGUP, stream, NULL);
}

void guest_credit(struct guest *guest, uint16_t stream, enum message_kind flow, uint32_t bytes)
{
	if (guest)
		channel_put(guest->channel, MESSAGE_CREDIT, stream, &(struct message_credit){flow, bytes});
}
