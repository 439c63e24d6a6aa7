#pragma once
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Networks of machines. All machines whose setting `network` says how they get out (auto, passt, slirp) are in the one
 * called "default"; those that name a network are in that one, which says how they get out. Each named network is a
 * record, DATA/networks/NAME.json.
 */
#define MACHINE_NETWORK_DEFAULT "default"

struct machine_network {
	uint64_t version;
	char *name;
	char *uplink;    /* "auto", "passt", "slirp"; "none": the machines reach each other only */
	int64_t created; /* 0: the default one */
};
void machine_network_clear(struct machine_network *network);
#define auto_machine_network CLEANUP(machine_network_clear)

/* Is it one of those words of the setting that say how to get out, and no network's name? */
bool machine_network_is_uplink(const char *setting);
/* May a network be called so? As machines are, but no word that means something else. USAGE. */
MUST_USE int machine_network_check_name(const char *name, struct annex_error **err);

/* What the setting means: one of the words above gives that uplink, in the default network, or of "none" in no network
 * (an empty name); else the network that it names. NOT_FOUND with a hint to make it; CORRUPT. */
MUST_USE int machine_network_resolve(struct machine_network *ret, const char *data, const char *setting,
				     struct annex_error **err);

/* The record of a named one. NOT_FOUND with a hint: there is none. */
MUST_USE int machine_network_load(struct machine_network *ret, const char *data, const char *name,
				  struct annex_error **err);
/* The same for a setting that names it: NOT_FOUND with a hint to make it. */
MUST_USE int machine_network_load_set(struct machine_network *ret, const char *data, const char *name,
				      struct annex_error **err);
/* A new one, with machine_place_lock() held. EXISTS. */
MUST_USE int machine_network_save(const struct machine_network *network, const char *data, struct annex_error **err);
MUST_USE int machine_network_remove(const char *data, const char *name, struct annex_error **err);
/* Of those that have a record, sorted. */
MUST_USE int machine_network_names(struct text_list *ret, const char *data, struct annex_error **err);
