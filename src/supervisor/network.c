/*
 * Both links outlive annex-network: the supervisor keeps QEMU's and the ports' descriptors, and gives them to each new
 * process; neither QEMU nor the guest notices. The marker tells both ends of the ports' link where it begins anew. With
 * a process goes its passt, which may be in the middle of a frame.
 *
 * What is published, by the setting or for now, is asked of each new process again. Only at the machine's start a
 * refusal is a failure.
 */
#include "supervisor/network.h"

#include "base/log.h"
#include "base/time.h"
#include "forward/socket.h"
#include "machine/network.h"
#include "network/address.h"
#include "network/process.h"
#include "network/switch.h"
#include "supervisor/clients.h"
#include "supervisor/guest.h"
#include "supervisor/hostnames.h"
#include "supervisor/outward.h"
#include "supervisor/publishing.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

struct network {
	struct supervisor *supervisor;
	struct machine_network of;
	char *folder; /* of its switch; empty: no other machine is reached */
	int link, vm_link, ports;
	uint8_t marker[WIRE_MARKER];
	struct hostnames *names;
	struct outward *outward;
	struct publishing *publishing;
	struct network_process *process; /* NULL: it has died, and is to be started again */
	struct loop_source *again;
	bool served; /* once, at least */
	unsigned deaths;
	uint64_t died_at;
	char *told;
	void (*apply_answer)(void *data);
	void *apply_data;
};

static bool is_ending(const struct network *network)
{
	const struct supervisor *supervisor = network->supervisor;

	return supervisor->finished || supervisor->state == MACHINE_STOPPING;
}

static int tell(struct network *network, struct annex_error **err)
{
	uint32_t place = network->supervisor->plan.place;
	char address[ADDRESS_TEXT], address6[ADDRESS_TEXT], host[ADDRESS_TEXT];
	auto_json json_t *object = NULL;
	bool ethernet = network->supervisor->plan.qemu.network;

	if (ethernet)
		object = json_pack("{s:s, s:s, s:s, s:s, s:s}", "uplink", outward_name(network->outward), "name",
				   network->folder[0] ? network->of.name : "", "host", place_host_text(host, place),
				   "address", place_guest_text(address, place), "address6",
				   place_guest6_text(address6, place));
	else
		object = json_pack("{s:s, s:s}", "uplink", "none", "host", place_host_text(host, place));
	free(network->told);
	network->told = object ? json_text(object, false) : NULL;
	return network->told ? 0 : fail_memory(err);
}

const char *network_told(const struct network *network)
{
	return network ? network->told : NULL;
}

static void on_refused(const struct annex_error *refusal, const char *const *ports, void *data)
{
	(void)ports, (void)data;
	if (refusal)
		log_info(NETWORK_PROCESS_PROGRAM ": %s", annex_error_message(refusal));
}

/* --- what goes outside --- */

static void on_uplink(int fd, void *data)
{
	auto_error struct annex_error *err = NULL;
	struct network *network = data;

	if (network->process && network_process_uplink(network->process, fd, on_refused, network, &err) < 0)
		log_info("%s", annex_error_message(err));
	if (tell(network, &err) < 0)
		log_info("%s", annex_error_message(err));
	clients_tell_state(network->supervisor->clients);
}

/* A machine that is up goes on: the host may have been cut off from its network for a while. */
static void on_no_uplink(const struct annex_error *why, void *data)
{
	struct network *network = data;
	auto_error struct annex_error *err = NULL;

	if (network->supervisor->up_at || is_ending(network))
		return;
	fail_relayed(&err, annex_error_kind(why), annex_error_errno(why), annex_error_message(why), NULL);
	fail_hint(&err, "passt needs an interface with a default route; slirp does not: annex set -n %s network=auto",
		  network->supervisor->record->name);
	supervisor_on_broken_network(network->supervisor, err);
}

static const struct outward_callbacks outward_callbacks = {on_uplink, on_no_uplink};

/* --- the process --- */

static void set_up(struct network *network, struct message_network_setup *ret, int uplink)
{
	const struct supervisor *supervisor = network->supervisor;
	const struct machine_settings *settings = &supervisor->record->settings;

	*ret = (struct message_network_setup){
		.name = supervisor->record->name,
		.folder = network->folder,
		.address = supervisor->plan.place,
		.uid = getuid(),
		.allow = (const char *const *)settings->allow.items,
		.marker = {network->marker, sizeof(network->marker)},
	};
	if (supervisor->plan.qemu.network)
		ret->flags |= NETWORK_ETHERNET;
	if (settings->isolate)
		ret->flags |= NETWORK_ISOLATED;
	else if (strcmp(settings->host_access, "on") == 0)
		ret->flags |= NETWORK_HOST_ACCESS;
	if (uplink >= 0)
		ret->flags |= NETWORK_PASST;
	if (strcmp(network->of.uplink, "none") == 0)
		ret->flags |= NETWORK_NO_UPLINK;
}

static void on_serving(void *data)
{
	struct network *network = data;

	network->served = true;
}

static void on_again(struct loop_source *source, void *data);

/* It is started again behind ever longer waits, unless it has died too often. */
static void try_again(struct network *network)
{
	uint64_t now = time_monotonic_ms(), wait = NETWORK_AGAIN_MS;

	network->deaths = now - network->died_at < NETWORK_CALM_MS ? network->deaths + 1 : 1;
	network->died_at = now;
	if (network->deaths > NETWORK_DEATHS_MAX) {
		log_info("it died too often: the machine is without network until it is started anew");
		return;
	}
	for (unsigned i = 1; i < network->deaths && wait < NETWORK_AGAIN_MOST; i++)
		wait *= 2;
	loop_timer_restart(network->again, time_scaled_ms(wait, 1));
}

static void end(struct network *network)
{
	publishing_end(network->publishing);
	outward_close(network->outward);
	network_process_free(TAKE(network->process));
}

static void on_ended(const struct annex_error *why, void *data)
{
	struct network *network = data;
	auto_error struct annex_error *err = NULL;

	if (!why)
		(void)fail(&err, ANNEX_ERROR_SYSTEM, NETWORK_PROCESS_PROGRAM " ended");
	why = why ? why : err;
	end(network);
	if (is_ending(network)) {
		log_debug("%s", annex_error_message(why));
		return;
	}
	if (!network->served && !network->supervisor->up_at) {
		supervisor_on_broken_network(network->supervisor, why);
		return;
	}
	log_info("%s: it is started anew", annex_error_message(why));
	try_again(network);
}

static const struct network_callbacks callbacks = {on_serving, on_ended};

static int launch(struct network *network, struct annex_error **err)
{
	struct supervisor *supervisor = network->supervisor;
	struct message_network_resolve resolve = hostnames_resolve(network->names);
	struct network_process_options options = {
		.program = supervisor->network_program,
		.ethernet = network->link,
		.ports = network->ports,
		.uplink = -1,
		.resolve = &resolve,
	};
	auto_close int uplink = -1;

	if (getrandom(network->marker, sizeof(network->marker), 0) != (ssize_t)sizeof(network->marker))
		return fail_os(err, errno, "cannot get random numbers");
	if (supervisor->plan.qemu.network && outward_open(network->outward, &uplink, err) < 0)
		return -1;
	options.uplink = uplink;
	set_up(network, &options.setup, uplink);
	if (network_process_start(&network->process, supervisor->loop, &options, &callbacks, network, err) < 0 ||
	    publishing_begin(network->publishing, network->process, err) < 0)
		return -1;
	return tell(network, err);
}

static void on_again(struct loop_source *source, void *data)
{
	struct network *network = data;
	auto_error struct annex_error *err = NULL;

	(void)source;
	if (is_ending(network))
		return;
	if (launch(network, &err) == 0) {
		guest_mark(network->supervisor->guest, network->marker);
		clients_tell_state(network->supervisor->clients);
		return;
	}
	end(network);
	log_info("%s", annex_error_message(err));
	try_again(network);
}

/* --- names --- */

/* An isolated machine is not told where its host is at home. */
static const char *const *search_of(const struct network *network)
{
	return network->supervisor->record->settings.isolate ? NULL : hostnames_search(network->names);
}

static void on_names(bool resolve, bool search, void *data)
{
	struct network *network = data;
	struct message_network_resolve now = hostnames_resolve(network->names);
	auto_error struct annex_error *err = NULL;

	if (resolve && network->process &&
	    network_process_resolve(network->process, &now, on_refused, network, &err) < 0)
		log_info("%s", annex_error_message(err));
	if (search && network->supervisor->plan.qemu.network)
		guest_names(network->supervisor->guest, search_of(network));
}

void network_fill(const struct network *network, struct message_config *config)
{
	config->marker = (struct message_bytes){network->marker, sizeof(network->marker)};
	config->search = search_of(network);
}

/* --- from outside --- */

static int open_link(struct network *network, struct annex_error **err)
{
	int pair[2];

	if (!network->supervisor->plan.qemu.network)
		return 0;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return fail_os(err, errno, "cannot make a socket");
	network->link = pair[0];
	network->vm_link = pair[1];
	socket_enlarge(network->link);
	socket_enlarge(network->vm_link);
	network->supervisor->plan.qemu.network_fd = network->vm_link;
	return 0;
}

static int find_places(struct network *network, struct annex_error **err)
{
	const struct supervisor *supervisor = network->supervisor;
	const struct machine_settings *settings = &supervisor->record->settings;

	if (machine_network_resolve(&network->of, supervisor->paths->data, settings->network, err) < 0)
		return -1;
	network->folder = *network->of.name && !settings->isolate
				  ? switch_folder(supervisor->paths->runtime, network->of.name)
				  : strdup("");
	return network->folder ? 0 : fail_memory(err);
}

static int make(struct network *network, struct annex_error **err)
{
	struct supervisor *supervisor = network->supervisor;
	int result;

	if (find_places(network, err) < 0 || open_link(network, err) < 0 ||
	    hostnames_new(&network->names, supervisor->loop, on_names, network, err) < 0 ||
	    outward_new(&network->outward, supervisor->loop, network->of.uplink, supervisor->plan.place,
			&outward_callbacks, network, err) < 0 ||
	    publishing_new(&network->publishing, supervisor, err) < 0)
		return -1;
	result = loop_add_timer(&network->again, supervisor->loop, UINT64_MAX, on_again, network);
	return result < 0 ? fail_os(err, result, "cannot prepare to run") : tell(network, err);
}

int network_new(struct network **ret, struct supervisor *supervisor, struct annex_error **err)
{
	struct network *network = calloc(1, sizeof(*network));

	if (!network)
		return fail_memory(err);
	network->supervisor = supervisor;
	network->link = network->vm_link = network->ports = -1;
	if (make(network, err) < 0) {
		network_free(network);
		return -1;
	}
	*ret = network;
	return 0;
}

int network_start(struct network *network, int ports, struct annex_error **err)
{
	network->ports = ports;
	cleanup_close(&network->vm_link); /* QEMU has it */
	network->vm_link = network->supervisor->plan.qemu.network_fd = -1;
	return launch(network, err);
}

void network_free(struct network *network)
{
	const struct supervisor *supervisor = network ? network->supervisor : NULL;

	if (!network)
		return;
	publishing_free(network->publishing);
	network_process_free(network->process);
	outward_free(network->outward);
	hostnames_free(network->names);
	loop_source_free(network->again);
	if (network->folder && *network->folder)
		switch_forget(network->folder, supervisor->record->name, supervisor->plan.place);
	cleanup_close(&network->link);
	cleanup_close(&network->vm_link);
	cleanup_close(&network->ports);
	machine_network_clear(&network->of);
	free(network->folder);
	free(network->told);
	free(network);
}

size_t network_pids(const struct network *network, pid_t *ret, size_t limit)
{
	pid_t carrier = network ? outward_pid(network->outward) : 0;
	size_t count = 0;

	if (network && network->process && network_process_pid(network->process) > 0 && count < limit)
		ret[count++] = network_process_pid(network->process);
	if (carrier > 0 && count < limit)
		ret[count++] = carrier;
	return count;
}

void network_list(struct network *network, const void *client)
{
	publishing_list(network->publishing, client);
}

void network_publish(struct network *network, const void *client, const struct message_publish *publish)
{
	publishing_add(network->publishing, client, publish->port, publish->kept);
}

void network_unpublish(struct network *network, const void *client, const struct message_unpublish *unpublish)
{
	publishing_remove(network->publishing, client, unpublish->port, unpublish->kept);
}

void network_forget(struct network *network, const void *client)
{
	if (network)
		publishing_forget(network->publishing, client);
}

static void on_applied(const struct annex_error *refusal, const char *const *ports, void *data)
{
	struct network *network = data;
	void (*answer)(void *) = network->apply_answer;

	on_refused(refusal, ports, NULL);
	network->apply_answer = NULL;
	if (answer)
		answer(network->apply_data);
}

void network_apply(struct network *network, void (*answer)(void *data), void *data)
{
	auto_error struct annex_error *err = NULL;
	struct message_network_setup setup;

	set_up(network, &setup, -1);
	if (!network->process) { /* the next one has it from the start */
		answer(data);
		return;
	}
	network->apply_answer = answer;
	network->apply_data = data;
	if (network_process_change(network->process, &setup, on_applied, network, &err) == 0)
		return;
	log_info("%s", annex_error_message(err));
	network->apply_answer = NULL;
	answer(data);
}
