/* Networks as objects: a record each, and the machines whose settings name them. */
#include "lib/network.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/time.h"
#include "lib/machine.h"
#include "machine/network.h"
#include "machine/place.h"
#include "network/address.h"
#include "network/switch.h"

#include <fcntl.h>
#include <string.h>

struct annex_network {
	struct machine_network record;
	struct text_list machines;
	uint32_t *places; /* of these */
};

int network_claim(int *ret_lock, const struct annex_context *context, const struct machine_settings *settings,
		  const struct machine_settings *before, struct annex_error **err)
{
	auto_machine_network struct machine_network found = {0};
	auto_close int lock = -1;

	if (machine_network_is_uplink(settings->network) || (before && text_equal(settings->network, before->network)))
		return 0;
	if (machine_place_lock(&lock, context->data, err) < 0)
		return -1;
	if (machine_network_load_set(&found, context->data, settings->network, err) < 0)
		return fail_while(err, "network=%s", settings->network);
	*ret_lock = TAKE_FD(lock);
	return 0;
}

API int annex_network_create(struct annex_context *context, const char *name,
			     const struct annex_network_options *options, struct annex_error **err)
{
	struct annex_network_options chosen = ANNEX_NETWORK_OPTIONS_INIT;
	struct machine_network record = {.name = (char *)name, .created = time_realtime_ns() / 1000000000};
	auto_close int lock = -1;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	record.uplink = (char *)(chosen.uplink ? chosen.uplink : "auto");
	if (!machine_network_is_uplink(record.uplink))
		return fail(err, ANNEX_ERROR_USAGE, "uplink '%s' must be one of auto, passt, slirp, none",
			    record.uplink);
	if (machine_network_check_name(name, err) < 0 || machine_place_lock(&lock, context->data, err) < 0)
		return -1;
	return machine_network_save(&record, context->data, err);
}

API void annex_network_unref(struct annex_network *network)
{
	if (!network)
		return;
	machine_network_clear(&network->record);
	text_list_clear(&network->machines);
	free(network->places);
	free(network);
}

static void cleanup_network(struct annex_network **network)
{
	annex_network_unref(*network);
}
#define auto_network CLEANUP(cleanup_network)

static bool is_in(const struct machine_record *machine, const struct machine_network *network)
{
	const char *setting = machine->settings.network;

	if (machine->settings.isolate)
		return false;
	if (machine_network_is_uplink(setting))
		return strcmp(network->name, MACHINE_NETWORK_DEFAULT) == 0 && strcmp(setting, "none") != 0;
	return strcmp(setting, network->name) == 0;
}

/* Machines that can't be read are told by other commands. */
static int find_machines(struct annex_network *network, struct annex_machine *const *machines, size_t count,
			 struct annex_error **err)
{
	network->places = calloc(count + 1, sizeof(*network->places));
	if (!network->places)
		return fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		const struct machine_record *record = &machines[i]->record;

		if (!is_in(record, &network->record))
			continue;
		network->places[network->machines.count] = record->place;
		if (text_list_add(&network->machines, record->name) < 0)
			return fail_memory(err);
	}
	return 0;
}

/* `record` is taken over. */
static int make(struct annex_network **ret, struct machine_network *record, struct annex_machine *const *machines,
		size_t count, struct annex_error **err)
{
	auto_network struct annex_network *network = calloc(1, sizeof(*network));

	if (!network)
		return fail_memory(err);
	network->record = *record;
	*record = (struct machine_network){0};
	if (find_machines(network, machines, count, err) < 0)
		return -1;
	*ret = TAKE(network);
	return 0;
}

static int open_one(struct annex_network **ret, struct annex_context *context, const char *name,
		    struct annex_machine *const *machines, size_t count, struct annex_error **err)
{
	auto_machine_network struct machine_network record = {0};
	bool is_default = strcmp(name, MACHINE_NETWORK_DEFAULT) == 0;

	if (is_default ? machine_network_resolve(&record, context->data, "auto", err) < 0
		       : machine_network_load(&record, context->data, name, err) < 0)
		return -1;
	return make(ret, &record, machines, count, err);
}

API int annex_network_open(struct annex_network **ret, struct annex_context *context, const char *name,
			   struct annex_error **err)
{
	struct annex_machine **machines = NULL;
	size_t count = 0;
	int result;

	if (annex_machine_list(&machines, &count, context, err) < 0)
		return -1;
	result = open_one(ret, context, name, machines, count, err);
	annex_machine_list_free(machines, count);
	return result;
}

static int add_all(struct annex_network **list, size_t *count, struct annex_context *context,
		   const struct text_list *names, struct annex_error **err)
{
	struct annex_machine **machines = NULL;
	size_t machine_count = 0;
	int result;

	if (annex_machine_list(&machines, &machine_count, context, err) < 0)
		return -1;
	result = open_one(&list[0], context, MACHINE_NETWORK_DEFAULT, machines, machine_count, err);
	*count = result == 0;
	for (size_t i = 0; result == 0 && i < names->count; i++) {
		auto_error struct annex_error *cause = NULL;

		result = open_one(&list[*count], context, names->items[i], machines, machine_count, &cause);
		if (result == 0) {
			(*count)++;
		} else if (annex_error_kind(cause) == ANNEX_ERROR_NOT_FOUND) { /* deleted meanwhile */
			result = 0;
		} else if (err) {
			*err = TAKE(cause);
		}
	}
	annex_machine_list_free(machines, machine_count);
	return result;
}

API int annex_network_list(struct annex_network ***ret, size_t *ret_count, struct annex_context *context,
			   struct annex_error **err)
{
	auto_text_list struct text_list names = {0};
	struct annex_network **list;
	size_t count = 0;

	if (machine_network_names(&names, context->data, err) < 0)
		return -1;
	list = calloc(names.count + 2, sizeof(struct annex_network *));
	if (!list)
		return fail_memory(err);
	if (add_all(list, &count, context, &names, err) < 0) {
		annex_network_list_free(list, count);
		return -1;
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

API void annex_network_list_free(struct annex_network **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		annex_network_unref(list[i]);
	free(list);
}

/* A machine that runs in it is still in it, whatever has been set since. */
static bool runs_in(const struct annex_machine *machine, const char *name)
{
	auto_machine_run struct machine_run run = {0};
	const char *setting;

	if (machine_run_load(&run, &machine->paths, NULL) < 0 || run.pid <= 1 ||
	    spawn_start_time((pid_t)run.pid) != run.pid_start)
		return false;
	setting = json_string_value(json_object_get(run.settings, "network"));
	return setting && strcmp(setting, name) == 0;
}

static int refuse_used(const char *name, const char *machine, const char *verb, const char *rest,
		       struct annex_error **err)
{
	fail(err, ANNEX_ERROR_BUSY, "network %s is that of machine '%s'", name, machine);
	return fail_hint(err, "annex %s %s%s", verb, machine, rest);
}

static int check_unused(struct annex_context *context, const char *name, struct annex_error **err)
{
	auto_text_list struct text_list names = {0};

	if (machine_names(&names, context, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		auto_machine struct annex_machine *machine = NULL;

		if (machine_open_named(&machine, context, names.items[i], NULL) < 0)
			continue;
		if (strcmp(machine->record.settings.network, name) == 0)
			return refuse_used(name, names.items[i], "set -n", " network=auto", err);
		if (runs_in(machine, name))
			return refuse_used(name, names.items[i], "restart", "", err);
	}
	return 0;
}

API int annex_network_delete(struct annex_context *context, const char *name, struct annex_error **err)
{
	auto_machine_network struct machine_network record = {0};
	auto_error struct annex_error *cause = NULL;
	auto_free char *folder = NULL;
	auto_close int lock = -1;

	if (strcmp(name, MACHINE_NETWORK_DEFAULT) == 0)
		return fail(err, ANNEX_ERROR_USAGE, "network default is always there");
	if (machine_network_check_name(name, err) < 0 || machine_place_lock(&lock, context->data, err) < 0)
		return -1;
	/* What is broken can go, too. */
	if (machine_network_load(&record, context->data, name, &cause) < 0 &&
	    annex_error_kind(cause) != ANNEX_ERROR_CORRUPT) {
		if (err)
			*err = TAKE(cause);
		return -1;
	}
	folder = switch_folder(context->runtime, name);
	if (!folder)
		return fail_memory(err);
	if (check_unused(context, name, err) < 0 || machine_network_remove(context->data, name, err) < 0)
		return -1;
	/* Nobody is in it: what is left are names of machines that were killed. */
	(void)!file_remove_tree(AT_FDCWD, folder);
	return 0;
}

API const char *annex_network_name(const struct annex_network *network)
{
	return network->record.name;
}

static bool is_default(const struct annex_network *network)
{
	return strcmp(network->record.name, MACHINE_NETWORK_DEFAULT) == 0;
}

API const char *annex_network_uplink(const struct annex_network *network)
{
	return is_default(network) ? NULL : network->record.uplink;
}

API int64_t annex_network_created(const struct annex_network *network)
{
	return network->record.created;
}

API const char *annex_network_machine(const struct annex_network *network, size_t index)
{
	return index < network->machines.count ? network->machines.items[index] : NULL;
}

static json_t *address_or_null(const char *text, uint32_t place)
{
	return place ? json_string(text) : json_null();
}

static json_t *describe_machine(const char *name, uint32_t place)
{
	char ip[ADDRESS_TEXT], address[ADDRESS_TEXT], address6[ADDRESS_TEXT];

	return json_pack("{s:s, s:s+, s:o, s:o, s:o}", "name", name, "host", name, "." ADDRESS_DOMAIN, "ip",
			 address_or_null(place_host_text(ip, place), place), "address",
			 address_or_null(place_guest_text(address, place), place), "address6",
			 address_or_null(place_guest6_text(address6, place), place));
}

API int annex_network_describe(char **ret, const struct annex_network *network, struct annex_error **err)
{
	auto_json json_t *object = json_object();
	json_t *machines = json_array();
	char created[TIME_BUFFER];
	bool complete = machines != NULL;

	for (size_t i = 0; complete && i < network->machines.count; i++)
		complete = json_array_append_new(machines,
						 describe_machine(network->machines.items[i], network->places[i])) == 0;
	const struct {
		const char *key;
		json_t *value;
	} members[] = {
		{"name", json_string(network->record.name)},
		{"uplink", is_default(network) ? json_null() : json_string(network->record.uplink)},
		{"created",
		 is_default(network) ? json_null() : json_string(time_format(created, network->record.created))},
		{"machines", machines},
	};
	for (size_t i = 0; i < COUNT_OF(members); i++)
		complete = json_object_set_new(object, members[i].key, members[i].value) == 0 && complete;
	*ret = complete ? json_text(object, true) : NULL;
	return *ret ? 0 : fail_memory(err);
}
